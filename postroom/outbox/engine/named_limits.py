"""Limits of what a payload names: under which of them a delivery falls is seen when it has been claimed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Final

import msgspec

from postroom.base.db import Pool
from postroom.encryption.keyring import Keyring, Unreadable
from postroom.outbox import store
from postroom.outbox.encryption import open_payload
from postroom.outbox.limits import Room
from postroom.outbox.model import Adapter, Claim, NamingAdapter

ORDERED_LATER_S: Final = 5.0
"""When one with an ordering key is tried again that its limit had no room for."""


class NamedLimits:
    """Gives claims the names under which they are limited (see ADR 34).

    Promise: what its limit has no room for is handed back at once, and holds no place. Costs nothing while no
    destination has a limit. Does not promise: anything of a payload that no key opens; it is not delivered.
    """

    def __init__(self, *, pool: Pool, adapter: Adapter, keyring: Keyring) -> None:
        self._pool = pool
        self._adapter = adapter if isinstance(adapter, NamingAdapter) else None
        self._keyring = keyring
        self.handed_back: Counter[str] = Counter()

    async def keep(
        self, claims: Sequence[Claim], limited: Collection[str], rooms: Sequence[Room]
    ) -> tuple[Sequence[Claim], Sequence[Claim]]:
        """Returns: what may wait here for its turn, named; and what was handed back.

        `rooms`: what limits left before these were claimed. Errors: those of the database.
        """
        if self._adapter is None or not limited:
            return claims, ()
        left = {room.destination: room.most for room in rooms if room.destination is not None}
        kept, back = list[Claim](), list[Claim]()
        for claim in claims:
            named = self._named(claim, self._adapter, limited)
            name = named.limited_as
            if claim.destination not in limited and left.get(name, 1) <= 0:
                back.append(named)
                continue
            kept.append(named)
            if name in left:
                left[name] -= 1
        if back:
            async with self._pool.acquire() as conn:
                await store.hand_back_named(conn, back, later_s=ORDERED_LATER_S)
            self.handed_back.update(each.limited_as for each in back)
        return kept, back

    def _named(self, claim: Claim, adapter: NamingAdapter, limited: Collection[str]) -> Claim:
        if claim.destination in limited:
            return claim
        try:
            payload = open_payload(claim.message_id, claim.payload, self._keyring, channel=claim.channel)
        except Unreadable:
            return claim
        name = adapter.limit_name(payload)
        return msgspec.structs.replace(claim, limit_name=name) if name in limited else claim
