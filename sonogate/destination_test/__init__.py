"""`sonogate destination test`: sends a phantom study and its results to a destination."""
