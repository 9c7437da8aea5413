"""`sonogate doctor`: checks of an installation, by subject. `run` lists them."""
