"""What the local exchange can be told to do wrong."""
