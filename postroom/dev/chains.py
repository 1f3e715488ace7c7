"""What an event caused, read from the ledger while it happens."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from postroom.base.db import Pool
from postroom.outbox.ledger.messages import LedgerFilter, Status, list_messages
from postroom.outbox.ledger.story import MessageStory, fetch_message
from postroom.outbox.model import OUTBOUND, Channel

LOOK_MAX: Final = 200
SETTLED_MAX: Final = 5_000
MARGIN: Final = timedelta(seconds=5)
ENDED: Final = frozenset({Status.DELIVERED, Status.DEAD, Status.CANCELLED, Status.PARKED, Status.NO_RECEIVER})


@dataclass(slots=True)
class Chain:
    """One cause and its effects.

    `root` is the Stripe event, or None when somebody published by hand.
    """

    id: str
    created_at: datetime
    stories: dict[UUID, MessageStory] = field(default_factory=dict)

    @property
    def root(self) -> MessageStory | None:
        return next((s for s in self.stories.values() if s.message.channel == Channel.STRIPE), None)

    @property
    def effects(self) -> list[MessageStory]:
        messages = [s for s in self.stories.values() if s.message.channel != Channel.STRIPE]
        return sorted(messages, key=lambda s: (OUTBOUND.index(Channel(s.message.channel)), s.message.id))

    @property
    def ended(self) -> bool:
        """Effects commit together with their event's end, so all of them are known by then."""
        return all(story.message.status in ENDED for story in self.stories.values())


class Chains:
    """Follows the ledger from `since` on.

    Does not promise: completeness. Of a flood it sees the newest 200 messages a look.
    """

    def __init__(self, *, pool: Pool, since: datetime) -> None:
        self._pool = pool
        self._since = since
        self._settled: OrderedDict[UUID, None] = OrderedDict()
        self.open: OrderedDict[str, Chain] = OrderedDict()

    async def look(self) -> list[Chain]:
        """Read what is new. Returns: the chains that have ended since the last look, oldest first."""
        async with (
            self._pool.acquire() as conn,
            conn.transaction(isolation="repeatable_read", readonly=True),
        ):
            wanted = LedgerFilter(created_from=self._since - MARGIN)
            for entry in reversed((await list_messages(conn, wanted, limit=LOOK_MAX)).rows):
                if entry.id in self._settled:
                    continue
                chain_id = entry.correlation_id or str(entry.id)
                chain = self.open.setdefault(chain_id, Chain(chain_id, entry.created_at))
                known = chain.stories.get(entry.id)
                if known is None or known.message.status not in ENDED:
                    chain.stories[entry.id] = await fetch_message(conn, entry.id)
        ended = [chain for chain in self.open.values() if chain.ended]
        for chain in ended:
            self._settle(chain)
        self._advance(ended)
        return ended

    def _settle(self, chain: Chain) -> None:
        del self.open[chain.id]
        self._settled.update(dict.fromkeys(chain.stories))
        while len(self._settled) > SETTLED_MAX:
            self._settled.popitem(last=False)

    def _advance(self, ended: list[Chain]) -> None:
        """Look no further back than the oldest chain that is open."""
        if self.open:
            self._since = max(self._since, min(chain.created_at for chain in self.open.values()))
        elif ended:
            self._since = max(self._since, *(chain.created_at for chain in ended))
