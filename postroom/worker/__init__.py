"""A process that works: its heartbeat, its jobs, its wake-up."""
