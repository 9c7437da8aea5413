"""The audit chain, read, proved and exported."""
