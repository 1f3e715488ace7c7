"""The link that `postroom up` prints: it signs in once, in development only."""

from __future__ import annotations

from collections.abc import Iterable

from postroom.admin.tokens import Scope
from postroom.base.db import Connection
from postroom.console.access.sessions import create_link_code


async def create_sign_in_link(conn: Connection, base_url: str, scopes: Iterable[Scope] = tuple(Scope)) -> str:
    """A link that signs in once within ten minutes; the console refuses it with POSTROOM_ENV=prod.

    `base_url`: where the API answers, such as http://127.0.0.1:8000.
    Transaction: the caller's; it works once that commits.
    """
    return f"{base_url.rstrip('/')}/console/enter?code={await create_link_code(conn, scopes)}"
