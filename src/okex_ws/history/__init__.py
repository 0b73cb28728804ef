"""The past, fetched over REST and joined to live streams."""
