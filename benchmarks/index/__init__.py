"""How fast received files get their rows."""
