"""What a script is given: depth, trades, book, reports, instruments, venues."""
