"""Network architectures. Importing a module of this package loads TensorFlow."""
