"""What is said on one connection: subscriptions, login, request budget. Pure."""
