"""How fast frames are classified, outlined and explained, beside the way of published apps."""
