"""What fits Postroom to a framework; the application brings the framework."""
