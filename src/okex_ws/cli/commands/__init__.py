"""One module for each command of okex-ws."""
