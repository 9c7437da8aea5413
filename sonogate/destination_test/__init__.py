"""`sonogate destination test`: sends a phantom study and its results, and retrieves them again."""
