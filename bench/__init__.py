"""How fast it is, measured beside the floors and the peers in one run. `make bench`."""
