"""What stands in for the outside world in `postroom up`, demos and tests."""
