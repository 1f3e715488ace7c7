"""The channel email: a payload becomes a MIME message, which goes out over SMTP."""
