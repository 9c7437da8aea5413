"""Ultrasound images: header, frames, B-mode region, input gate."""
