"""Bytes: TCP, TLS, proxies, HTTP heads and WebSocket frames, under one deadline."""
