"""DICOM objects to plain facts and back: no database, no network, no neural network."""
