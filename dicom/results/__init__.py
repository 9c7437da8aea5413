"""DICOM objects that Sonogate creates. Each kind of result is a folder; `catalogue` lists them."""
