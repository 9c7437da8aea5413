"""What it costs to decode frames in another process, and what decoders take without limits."""
