"""Analysis of image files: from frames to the networks' results. No database, queue or network."""
