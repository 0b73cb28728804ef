"""The exchange's protocols v3 and v5: text to messages and back. Pure."""
