"""The channel email: a payload becomes a letter, a letter goes out over SMTP."""
