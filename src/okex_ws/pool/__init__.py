"""Connections, their threads, and which channel lives on which connection."""
