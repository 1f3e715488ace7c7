"""`from app.stripe import on` is `from postroom import on`."""

from postroom import on as on
