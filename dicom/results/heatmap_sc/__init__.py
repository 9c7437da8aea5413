"""Grad-CAM as a Secondary Capture image (PS3.3 A.8)."""
