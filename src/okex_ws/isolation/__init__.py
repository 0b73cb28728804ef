"""A feed in a process of its own, read through shared memory."""
