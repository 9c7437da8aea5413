"""Labeled images: reading, near-duplicates, folds and network inputs."""
