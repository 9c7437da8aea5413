"""Files named on the command line: how they are found, and how images become DICOM."""
