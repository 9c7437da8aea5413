"""`sonogate demo`: sends phantom studies through every service on one machine."""
