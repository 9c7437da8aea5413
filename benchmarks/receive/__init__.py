"""How fast studies come in, beside other storage SCPs."""
