"""Stripe events that the payloads of their effects refer to: the last ones are kept in memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Final
from uuid import UUID

import msgspec

from postroom.base.clock import Clock
from postroom.base.db import DATABASE_AWAY, Pool, query
from postroom.base.version import VERSION
from postroom.encryption.keyring import NO_KEYS, Keyring, Unreadable
from postroom.outbox.encryption import RESERVED
from postroom.outbox.model import Answer, Cause, Claim, Deferred, Rejected, Wait
from postroom.outbox.references import GONE, Source, complete, fetch_sources, source_of

BYTES_MAX: Final = 32 * 1024 * 1024
ASK_EVERY_S: Final = 10.0

_IS_ONE_VERSION: Final = query(__package__, "is_one_version")

Try = Callable[[Sequence[Claim]], Awaitable[Sequence[Answer]]]


class Sources:
    """One a process. Promise: an adapter sees whole payloads only. Limit: `bytes_max` are kept."""

    def __init__(
        self, *, pool: Pool, clock: Clock, keyring: Keyring = NO_KEYS, bytes_max: int = BYTES_MAX
    ) -> None:
        self._pool = pool
        self._clock = clock
        self._keyring = keyring
        self._bytes_max = bytes_max
        self._kept: OrderedDict[UUID, Source] = OrderedDict()
        self._bytes = 0
        self._one_version = False
        self._ask_at = 0.0

    async def understood(self) -> bool:
        """Whether whoever delivers would complete a reference: processes of another version might not.

        Under encryption at rest every payload is kept whole, so that each opens by itself.
        """
        if self._keyring.current is not None:
            return False
        if self._clock.monotonic() >= self._ask_at:
            async with self._pool.acquire() as conn:
                self._one_version = await conn.fetchval(_IS_ONE_VERSION, VERSION)
            self._ask_at = self._clock.monotonic() + ASK_EVERY_S
        return self._one_version

    def keep(self, message_id: UUID, text: str) -> None:
        """What was just processed is what effects refer to next. `text`: its payload from PostgreSQL."""
        source = Source.of(text)
        if source is not None and message_id not in self._kept:
            self._keep(message_id, source)

    def complete_from_memory(self, claims: Sequence[Claim]) -> list[Claim] | None:
        """The claims with whole payloads; None where one is encrypted, or refers to what is not in memory."""
        whole: list[Claim] = []
        for claim in claims:
            source_id = source_of(claim.payload)
            source = None if source_id is None else self._kept.get(source_id)
            if source is not None:
                whole.append(msgspec.structs.replace(claim, payload=complete(claim.payload, source)))
            elif claim.payload.startswith(RESERVED):
                return None
            else:
                whole.append(claim)
        return whole

    async def try_completed(self, claims: Sequence[Claim], attempt: Try) -> Sequence[Answer]:
        """Hand on the claims with whole payloads. One answer each, in order; the rest is dead at once."""
        wanted = [source_of(claim.payload) for claim in claims]
        try:
            sources = await self._find({each for each in wanted if each is not None})
        except Unreadable as error:
            return [Rejected(error.detail, code=error.code, cause=Cause.OURS)] * len(claims)
        except DATABASE_AWAY as error:
            return [Deferred(Wait.DATABASE_AWAY, f"{type(error).__name__} from the database")] * len(claims)
        answers: list[Answer] = [Rejected(GONE, code="event_gone", cause=Cause.OURS)] * len(claims)
        whole: dict[int, Claim] = {}
        for place, (claim, source_id) in enumerate(zip(claims, wanted, strict=True)):
            if source_id is None:
                whole[place] = claim
            elif source_id in sources:
                text = complete(claim.payload, sources[source_id])
                whole[place] = msgspec.structs.replace(claim, payload=text)
        if whole:
            for place, answer in zip(whole, await attempt(list(whole.values())), strict=True):
                answers[place] = answer
        return answers

    async def _find(self, wanted: set[UUID]) -> dict[UUID, Source]:
        found = {each: self._kept[each] for each in wanted if each in self._kept}
        for each in found:
            self._kept.move_to_end(each)
        missing = list(wanted - found.keys())
        if missing:
            async with self._pool.acquire() as conn:
                fetched = await fetch_sources(conn, missing, self._keyring)
            for message_id, source in fetched.items():
                self._keep(message_id, source)
            found |= fetched
        return found

    def _keep(self, message_id: UUID, source: Source) -> None:
        self._kept[message_id] = source
        self._bytes += source.size_bytes
        while self._bytes > self._bytes_max:
            _, dropped = self._kept.popitem(last=False)
            self._bytes -= dropped.size_bytes
