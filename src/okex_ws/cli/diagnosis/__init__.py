"""What okex-ws doctor tries: names, TCP, TLS, handshake, ping and prices."""
