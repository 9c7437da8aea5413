"""`sonogate dataset export`: training data from signed reviews."""
