"""Every job, and the command that runs them."""
