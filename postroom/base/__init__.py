"""What everything stands on: settings, database, clock, ids, errors, logs, metrics."""
