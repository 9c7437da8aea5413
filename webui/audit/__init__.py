"""The audit log: reading, verifying and exporting it."""
