"""Structured Report, TID 1500 Measurement Report (PS3.16)."""
