"""Received images: header, frames, the B-mode region, and what the networks were not made for."""
