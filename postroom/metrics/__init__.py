"""What is exported to Prometheus and drawn in charts."""
