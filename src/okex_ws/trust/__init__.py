"""The lease of a connection, its heartbeat, and the verdict on a read. Pure."""
