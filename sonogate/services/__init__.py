"""`sonogate up`: every service of one installation as supervised child processes."""
