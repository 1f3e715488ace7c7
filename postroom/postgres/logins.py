"""Logins of the roles of a database, for what we start ourselves: development, tests and drills."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg

from postroom.base.db import fetch_one, query

_LOGIN_STATEMENT = query(__package__, "login_statement")

PARTS: Final = ("api", "runner", "reader", "owner")
CONNECT_S: Final = 10.0


async def make_logins(dsn: str) -> Mapping[str, str]:
    """Make a login for each of `PARTS`, or give it a new password. Returns: their DSNs.

    The roles are there (`migrate` with `roles`), and the user of `dsn` may make others.
    """
    conn = await asyncpg.connect(dsn, timeout=CONNECT_S)
    try:
        made = {}
        for part in PARTS:
            password = secrets.token_urlsafe(24)
            login = await fetch_one(conn, _LOGIN_STATEMENT, part, password)
            await conn.execute(login["statement"])
            made[part] = with_login(dsn, login["login"], password)
        return made
    finally:
        await conn.close(timeout=CONNECT_S)


def with_login(dsn: str, login: str, password: str) -> str:
    """The DSN with another user."""
    return _with_user(dsn, f"{quote(login, safe='')}:{quote(password, safe='')}")


def signed_in_as(dsn: str, other: str) -> str:
    """The DSN with the user and password of another DSN, which may lead elsewhere."""
    return _with_user(dsn, urlsplit(other).netloc.rpartition("@")[0])


def _with_user(dsn: str, user: str) -> str:
    parts = urlsplit(dsn)
    return urlunsplit(parts._replace(netloc=f"{user}@{parts.netloc.rpartition('@')[2]}"))
