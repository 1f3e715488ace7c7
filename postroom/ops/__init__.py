"""What the operator sees: readiness, gauges, doctor."""
