"""The channel export."""
