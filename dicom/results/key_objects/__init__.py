"""Key Object Selection (PS3.3 A.35.4) of the frames with findings."""
