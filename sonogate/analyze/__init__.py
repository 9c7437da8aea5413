"""`sonogate analyze`: the analysis pipeline on files, without services."""
