"""From a picture on disk to what the networks say of it. Knows no rows, no queue, no network."""
