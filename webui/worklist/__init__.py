"""The worklist, with live updates."""
