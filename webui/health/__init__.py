"""Whether this process lives, and whether it can work. No login, no patient data."""
