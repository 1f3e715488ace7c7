"""Brokers as ways out: an endpoint whose url names one gets its deliveries there instead of by HTTP."""
