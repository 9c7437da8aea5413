"""What `sonogate train`, `tune` and `combine` share: options and progress bars."""
