"""The channels: siblings that never import each other."""
