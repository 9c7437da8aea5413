"""The architectures. Importing a module of this folder loads TensorFlow."""
