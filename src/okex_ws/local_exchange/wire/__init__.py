"""What the local exchange reads and writes: the texts of v3 and v5."""
