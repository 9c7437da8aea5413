"""Grad-CAM as a fractional Segmentation (PS3.3 A.51)."""
