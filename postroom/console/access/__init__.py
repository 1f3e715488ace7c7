"""Who may use the console: sign-in, sessions, OpenID Connect, forms."""
