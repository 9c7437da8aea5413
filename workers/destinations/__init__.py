"""Destinations of results: one folder for each kind, which `registry` lists."""
