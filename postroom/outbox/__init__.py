"""The ledger and the engine: messages, deliveries, attempts, dead letters, replay."""
