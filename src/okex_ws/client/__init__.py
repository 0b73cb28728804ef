"""Feed, WSSubscription and RawSubscription: wiring and documentation."""
