"""Segmentation (PS3.3 A.51, A.90) of lesions."""
