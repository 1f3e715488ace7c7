"""The ledger as people use it: balance, reading, dead letters, replay, retention."""
