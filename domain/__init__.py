"""Terms of breast ultrasound that every other package shares. Standard library only."""
