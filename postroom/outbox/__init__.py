"""Messages and deliveries: what they are, the state table, publishing; the engine and the ledger below."""
