"""Verification and Storage SCP, and the indexer that makes the rows of what it received."""
