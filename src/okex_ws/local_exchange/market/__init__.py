"""The market of the local exchange: made by a seed, or recorded."""
