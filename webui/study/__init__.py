"""The study page: images, AI result, review and delivery."""
