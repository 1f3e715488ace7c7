"""What an application calls: publishing in its own transaction, with the driver that it has."""
