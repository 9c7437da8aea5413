"""`sonogate demo`: studies, a demo PACS, and what arrives there."""
