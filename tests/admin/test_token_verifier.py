"""Tokens in the database: only the hash is kept, and the end of a token is obeyed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from postroom.admin.audit import Actor
from postroom.admin.token_verifier import CACHE_S, TokenVerifier
from postroom.admin.tokens import Scope, Token, generate_token, insert_token, list_tokens, revoke
from postroom.base.db import Pool, transaction
from postroom.base.errors import InvalidInput
from tests.fixtures.clock import DrivenClock
from tests.fixtures.roles import pool_as

START = datetime(2026, 1, 1, tzinfo=UTC)


async def listed(pool: Pool) -> list[Token]:
    async with pool.acquire() as conn:
        return await list_tokens(conn)


async def test_the_secret_is_nowhere_in_the_database(pool: Pool) -> None:
    async with transaction(pool) as conn:
        secret, token = await insert_token(conn, name="ci", scopes=(Scope.ADMIN_READ,))
    row = str(await pool.fetchrow("select t::text, encode(hash, 'escape') from postroom.token t"))
    assert secret not in row
    assert secret[3:20] not in row
    assert token.actor == "token:ci"


async def test_a_revoked_token_dies_within_the_cache_time(pool: Pool) -> None:
    clock = DrivenClock(START)
    verifier = TokenVerifier(pool=pool_as(pool, "api"), clock=clock)
    async with transaction(pool) as conn:
        secret, token = await insert_token(conn, name="ci", scopes=(Scope.ADMIN_READ,))
    assert token.id == (await verifier.verify(secret) or token).id
    async with transaction(pool) as conn:
        await revoke(conn, token.id, actor=Actor("test"))
    clock.advance(CACHE_S - 0.1)
    assert await verifier.verify(secret) is not None
    clock.advance(0.2)
    assert await verifier.verify(secret) is None
    assert not verifier.knows(secret)


async def test_an_expired_token_is_refused(pool: Pool) -> None:
    verifier = TokenVerifier(pool=pool_as(pool, "api"), clock=DrivenClock(START))
    async with transaction(pool) as conn:
        past = datetime.now(UTC) - timedelta(seconds=1)
        secret, _ = await insert_token(conn, name="old", scopes=(Scope.ADMIN_READ,), expires_at=past)
    assert await verifier.verify(secret) is None
    assert await verifier.verify(generate_token()) is None


async def test_its_use_is_written_at_most_once_a_minute(pool: Pool) -> None:
    clock = DrivenClock(START)
    verifier = TokenVerifier(pool=pool_as(pool, "api"), clock=clock)
    async with transaction(pool) as conn:
        secret, _ = await insert_token(conn, name="ci", scopes=(Scope.ADMIN_READ,))
    await verifier.verify(secret)
    [first] = await listed(pool)
    assert first.last_used_at is not None
    clock.advance(CACHE_S + 1)
    await verifier.verify(secret)
    [again] = await listed(pool)
    assert first.last_used_at == again.last_used_at
    await pool.execute("update postroom.token set last_used_at = last_used_at - interval '61 seconds'")
    clock.advance(CACHE_S + 1)
    await verifier.verify(secret)
    [later] = await listed(pool)
    assert later.last_used_at is not None
    assert later.last_used_at > first.last_used_at


async def test_a_name_that_cannot_be_shown_is_refused(pool: Pool) -> None:
    async with transaction(pool) as conn:
        with pytest.raises(InvalidInput):
            await insert_token(conn, name="a\nb", scopes=(Scope.ADMIN_READ,))
