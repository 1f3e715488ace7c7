"""The link that signs in once: of `postroom up`, and of `postroom token sign-in-link` for emergencies."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from postroom.admin.audit import Actor, record
from postroom.admin.tokens import Scope
from postroom.base.db import Connection
from postroom.console.access.sessions import create_link_code, link_name
from postroom.encryption.keyring import Keyring

DEVELOPMENT: Final = Actor("cli:up")


async def create_sign_in_link(
    conn: Connection,
    base_url: str,
    scopes: Iterable[Scope] = tuple(Scope),
    *,
    keyring: Keyring,
    actor: Actor = DEVELOPMENT,
) -> str:
    """A link that signs in once within ten minutes; only its hash is kept.

    `base_url`: where the API answers, such as http://127.0.0.1:8000.
    Transaction: the caller's, its audit row inside; it works once that commits.
    """
    scopes = sorted(scopes)
    code = await create_link_code(conn, scopes, keyring)
    await record(conn, actor, "console.sign_in_link", link=link_name(code), scopes=scopes)
    return f"{base_url.rstrip('/')}/console/enter?code={code}"
