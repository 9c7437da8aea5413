"""DICOM peers: Storage SCU, Query/Retrieve SCU and storage commitment."""
