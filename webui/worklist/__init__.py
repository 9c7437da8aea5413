"""The list of studies, live."""
