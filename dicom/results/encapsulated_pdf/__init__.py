"""The findings on one page, as an Encapsulated PDF (PS3.3 A.45.1)."""
