"""The exchange's binary messages (SBE): bytes to what the JSON of v5 says. Pure."""
