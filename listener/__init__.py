"""DICOM in: Storage and Verification SCP. Bytes to disk, one row, then Success."""
