"""How a test controls the local exchange, and the thread that it runs on."""
