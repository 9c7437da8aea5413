"""Verification and Storage SCP. Success means that the bytes are on disk and the row is committed."""
