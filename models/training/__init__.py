"""Making presets: data sets, augmentation, training. Nothing here runs in the services."""
