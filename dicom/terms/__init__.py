"""Terms of breast ultrasound that all packages share. Standard library only."""
