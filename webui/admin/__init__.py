"""For administrators: work that was given up, senders, destinations, people."""
