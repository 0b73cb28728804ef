"""What each kind of channel keeps: depth, book, trades, candles, values."""
