"""Whoever can write to the database, and has no key, makes no token, no session and no link."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import pytest

from postroom.admin.token_verifier import TokenVerifier
from postroom.admin.tokens import Scope, Token, generate_token, hash_token, insert_token
from postroom.base.clock import SystemClock
from postroom.base.db import Pool, transaction
from postroom.base.errors import NotAuthenticated
from postroom.console.access.sessions import (
    close_session,
    create_link_code,
    fetch_session,
    open_session,
    take_link_code,
)
from postroom.encryption.keyring import NO_KEYS, Keyring, keyring_of, new_key
from tests.fixtures.encryption import NEW, OLD, keys
from tests.fixtures.roles import pool_as

BEFORE, LATER = (datetime.now(UTC) + timedelta(hours=hours) for hours in (-1, 1))
WITH_KEYS = keyring_of(keys(NEW))
WINDOW = keyring_of(keys(NEW, required_from=LATER))
REQUIRING = keyring_of(keys(NEW, required_from=BEFORE))
OTHER = new_key("other")
SCOPES = (Scope.ADMIN_READ,)


async def make(pool: Pool, keyring: Keyring) -> str:
    async with transaction(pool) as conn:
        secret, _ = await insert_token(conn, name="ci", scopes=SCOPES, keyring=keyring)
    return secret


async def verify(pool: Pool, secret: str, keyring: Keyring) -> Token | None:
    return await TokenVerifier(pool=pool_as(pool, "api"), clock=SystemClock(), keyring=keyring).verify(secret)


async def kept(pool: Pool) -> bytes:
    found: bytes = await pool.fetchval("select hash from postroom.token")
    return found


@pytest.mark.parametrize("keyring", [NO_KEYS, WITH_KEYS, keyring_of(keys(OLD))])
async def test_until_keys_are_required_a_token_is_kept_as_ever(pool: Pool, keyring: Keyring) -> None:
    """A process that has no key yet would not know another hash."""
    secret = await make(pool, keyring)
    assert await kept(pool) == hash_token(secret) == hashlib.sha256(secret.encode()).digest()
    for each in (NO_KEYS, WITH_KEYS, WINDOW):
        assert await verify(pool, secret, each) is not None


async def test_a_token_that_somebody_writes_into_the_database_opens_nothing(pool: Pool) -> None:
    forged = generate_token()
    await pool.execute(
        "insert into postroom.token (name, hash, scopes) values ('thief', $1, '{admin:read}')",
        hash_token(forged),
    )
    assert await verify(pool, forged, REQUIRING) is None
    assert await verify(pool, forged, WITH_KEYS) is not None, "what required encryption is for"


async def test_in_the_window_a_token_is_kept_anew_when_it_is_used_and_goes_on_working(pool: Pool) -> None:
    secret = await make(pool, NO_KEYS)
    assert await verify(pool, secret, REQUIRING) is None
    assert await verify(pool, secret, WINDOW) is not None
    assert await kept(pool) != hash_token(secret)
    for each in (WITH_KEYS, WINDOW, REQUIRING):
        assert await verify(pool, secret, each) is not None
    assert await verify(pool, secret, NO_KEYS) is None


async def test_a_token_goes_through_a_rotation_of_keys(pool: Pool) -> None:
    """To read with first, then to write with, then alone."""
    secret = await make(pool, REQUIRING)
    read, write, alone = (
        keyring_of(keys(*texts, required_from=BEFORE)) for texts in ((NEW, OTHER), (OTHER, NEW), (OTHER,))
    )
    assert await verify(pool, secret, alone) is None
    for each in (read, write, read, write, alone):
        assert await verify(pool, secret, each) is not None


async def test_sessions_and_links_have_keyed_hashes_too(pool: Pool) -> None:
    thief = "x" * 43
    digest = hashlib.sha256(thief.encode()).digest()
    await pool.execute(
        "insert into postroom.console_session (hash, actor, scopes) values ($1, 'thief', '{admin:read}')",
        digest,
    )
    await pool.execute(
        "insert into postroom.sign_in_link (hash, scopes, expires_at) values ($1, '{admin:read}', $2)",
        digest,
        LATER,
    )
    async with transaction(pool) as conn:
        assert await fetch_session(conn, thief, REQUIRING) is None
        with pytest.raises(NotAuthenticated):
            await take_link_code(conn, thief, REQUIRING)
        assert await fetch_session(conn, thief, WITH_KEYS) is not None
        secret = await open_session(conn, actor="ada", scopes=["admin:read"], keyring=REQUIRING)
        code = await create_link_code(conn, SCOPES, REQUIRING)
        for each in (REQUIRING, WITH_KEYS):
            assert await fetch_session(conn, secret, each) is not None
        assert await take_link_code(conn, code, WITH_KEYS) == {"admin:read"}
        await close_session(conn, secret, WITH_KEYS)
        assert await fetch_session(conn, secret, REQUIRING) is None
