"""How a script gets it: reads, callbacks, iterators, queues."""
