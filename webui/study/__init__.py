"""One study: pictures, what the AI says of them, and what the reader decides."""
