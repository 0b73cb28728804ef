"""The server of the local exchange: its clients, their requests, REST."""
