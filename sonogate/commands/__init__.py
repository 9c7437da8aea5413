"""One module per subcommand. Each defines a click command named ``command``."""
