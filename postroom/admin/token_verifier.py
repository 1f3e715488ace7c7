"""Who is it? Asked on every request, answered from memory for a few seconds."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Final

from postroom.admin.tokens import Token, find_living_token, hash_token, well_formed
from postroom.base.clock import Clock
from postroom.base.db import Pool
from postroom.encryption.keyring import NO_KEYS, Keyring

CACHE_S: Final = 5.0
CACHED_MAX: Final = 1_000
TIMEOUT_S: Final = 5.0


class TokenVerifier:
    """Promise: a revoked or expired token is refused within `CACHE_S`; refusals are never cached."""

    def __init__(self, *, pool: Pool, clock: Clock, keyring: Keyring = NO_KEYS) -> None:
        self._pool = pool
        self._keyring = keyring
        self._clock = clock
        self._known: OrderedDict[bytes, tuple[float, Token]] = OrderedDict()

    def knows(self, text: str) -> bool:
        """Whether it was good when it was last looked up; touches nothing."""
        return hash_token(text) in self._known

    async def verify(self, text: str) -> Token | None:
        """The living token behind this secret, or None.

        Errors: one of `DATABASE_AWAY` when it is not in memory and the database is away.
        """
        if not well_formed(text):
            return None
        token_hash = hash_token(text)
        read_at, token = self._known.get(token_hash, (float("-inf"), None))
        now_s = self._clock.monotonic()
        if token is not None and now_s - read_at < CACHE_S:
            return token
        async with asyncio.timeout(TIMEOUT_S), self._pool.acquire() as conn:
            token = await find_living_token(conn, text, self._keyring)
        self._known.pop(token_hash, None)
        if token is None:
            return None
        self._known[token_hash] = (now_s, token)
        if len(self._known) > CACHED_MAX:
            self._known.popitem(last=False)
        return token
