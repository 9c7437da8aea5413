"""Read and build DICOM objects, without database, network and neural networks."""
