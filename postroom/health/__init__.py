"""What is wrong: thresholds, readiness, the doctor."""
