"""Administration: dead-letter queue, senders, destinations and users."""
