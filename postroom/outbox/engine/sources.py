"""Stripe events that the payloads of their effects refer to: the last ones are kept in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

import msgspec

from postroom.base.clock import Clock
from postroom.base.db import DATABASE_AWAY, Pool, query
from postroom.base.version import VERSION
from postroom.encryption.keyring import NO_KEYS, Keyring, Unreadable
from postroom.outbox.encryption import is_encrypted_payload, unreadable
from postroom.outbox.model import Answer, Cause, Claim, Rejected, Try, database_away
from postroom.outbox.references import GONE, Source, complete, fetch_sources, source_of

BYTES_MAX: Final = 32 * 1024 * 1024
ASK_EVERY_S: Final = 10.0

_EVENT_GONE: Final = Rejected(GONE, code="event_gone", cause=Cause.OURS)
_IS_ONE_VERSION: Final = query(__package__, "is_one_version")


class Sources:
    """One a process. Promise: an adapter sees whole payloads only. Limit: `bytes_max` are kept."""

    def __init__(
        self, *, pool: Pool, clock: Clock, keyring: Keyring = NO_KEYS, bytes_max: int = BYTES_MAX
    ) -> None:
        self._pool = pool
        self._clock = clock
        self._keyring = keyring
        self._bytes_max = bytes_max
        self._kept: dict[UUID, Source] = {}
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

    def keep(self, message_id: UUID, text: str) -> Source | None:
        """What was just processed is what effects refer to next. `text`: its payload from PostgreSQL."""
        source = Source.of(text)
        if source is not None and message_id not in self._kept:
            self._keep(message_id, source)
        return source

    def complete_from_memory(self, claims: Sequence[Claim]) -> list[Claim] | None:
        """The claims with whole payloads; None where one is encrypted, or refers to what is not in memory."""
        whole = [
            None if is_encrypted_payload(claim.payload) else _completed(claim, self._kept) for claim in claims
        ]
        found = [each for each in whole if each is not None]
        return found if len(found) == len(whole) else None

    async def try_completed(self, claims: Sequence[Claim], attempt: Try) -> Sequence[Answer]:
        """Hand on the claims with whole payloads. One answer each, in order; the rest is dead at once."""
        try:
            sources = await self._find({each for claim in claims if (each := source_of(claim.payload))})
        except Unreadable as error:
            return [unreadable(error, claim) for claim in claims]
        except DATABASE_AWAY as error:
            return [database_away(error)] * len(claims)
        whole = [_completed(claim, sources) for claim in claims]
        found = [each for each in whole if each is not None]
        answers = iter(await attempt(found) if found else ())
        return [_EVENT_GONE if each is None else next(answers) for each in whole]

    async def _find(self, wanted: set[UUID]) -> dict[UUID, Source]:
        found = {each: self._kept[each] for each in wanted if each in self._kept}
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
            self._bytes -= self._kept.pop(next(iter(self._kept))).size_bytes


def _completed(claim: Claim, sources: Mapping[UUID, Source]) -> Claim | None:
    """The claim with its whole payload; None where it refers to an event that is not among `sources`."""
    source_id = source_of(claim.payload)
    if source_id is None:
        return claim
    source = sources.get(source_id)
    if source is None:
        return None
    return msgspec.structs.replace(claim, payload=complete(claim.payload, source))
