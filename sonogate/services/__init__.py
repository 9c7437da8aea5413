"""`sonogate up`: all services of one installation as supervised child processes."""
