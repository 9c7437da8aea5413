"""Softcopy Presentation State (PS3.3 A.33) with the outlines of lesions."""
