"""The front door: the command line, supervision, the demo. Imports every room; no room imports it."""
