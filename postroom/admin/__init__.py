"""What an operator does: one function for each action, its audit row inside."""
