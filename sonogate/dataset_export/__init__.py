"""`sonogate dataset export`: signed studies as training data."""
