"""A whole relay, driven step by step: what its adapter was handed, and what became of each delivery."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any, TypeVar

from postroom.base.clock import SystemClock
from postroom.base.db import Pool, open_pool, transaction
from postroom.base.errors import InvalidInput
from postroom.outbox.controls import REFRESH_S
from postroom.outbox.lanes import Urgency
from postroom.outbox.model import Answer, Channel, Claim, Delivered, Message
from postroom.outbox.pauses import mark_paused, mark_resumed
from postroom.outbox.publish import publish_many
from postroom.resilience.backoff import Schedule
from postroom.worker.model import JobContext
from tests.fixtures.engine import TRAVEL, AdapterEngine, email
from tests.simulation.postgres import EMPTY

Value = TypeVar("Value")
RETRY_S = 600.0
BACKOFF = Schedule((RETRY_S,), spread=0.0)


class Fault(StrEnum):
    """What a delivery does to the batch that it is in."""

    NONE = "none"
    RAISES = "raises"
    REFUSED = "refused"
    UNANSWERED = "unanswered"


class AheadClock(SystemClock):
    """The machine's clock, and what a test has let pass."""

    ahead_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead_s


@dataclass(slots=True)
class Gathering:
    """A batch adapter in which one delivery may spoil the whole call."""

    faults: dict[str, Fault] = field(default_factory=dict)
    handed: list[Claim] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)
    on_start: Callable[[], None] = lambda: None
    channel = Channel.EMAIL
    circuit: str | None = ""
    concurrency_max: int = 50
    per_destination_max: int = 50
    timeout_s: float = 10.0
    batch_max: int = 5

    def batch_of(self, claim: Claim) -> int:
        return self.batch_max

    async def deliver_batch(self, claims: Sequence[Claim]) -> Sequence[Answer]:
        self.handed += claims
        self.on_start()
        await asyncio.sleep(0)
        faults = {self.faults.get(claim.key or "", Fault.NONE) for claim in claims}
        if Fault.RAISES in faults:
            raise LookupError("one of them")
        if Fault.REFUSED in faults:
            raise InvalidInput("one of them")
        if Fault.UNANSWERED in faults:
            return [Delivered()] * (len(claims) - 1)
        self.answered += [claim.key or "" for claim in claims]
        return [Delivered()] * len(claims)

    async def deliver(self, claim: Claim) -> Answer:
        [answer] = await self.deliver_batch([claim])
        return answer

    def check(self, payload: dict[str, Any]) -> None: ...

    async def start(self) -> None: ...

    async def close(self) -> None: ...


class RelayOnPostgres:
    """One example: an empty ledger and one relay."""

    def __init__(self, dsn: str) -> None:
        self._loop = asyncio.new_event_loop()
        self.pool: Pool = self.run(open_pool(dsn, connections_max=5))
        for statement in (*EMPTY, "truncate postroom.channel_pause"):
            self.run(self.pool.execute(statement))
        self.adapter = Gathering()
        self.clock = AheadClock()
        self.engine = AdapterEngine(dsn, self.pool, self.adapter, BACKOFF)
        self.engine.clock = self.clock
        self.run(self.engine.start())

    def close(self) -> None:
        self.run(self.pool.close())
        self._loop.close()

    def run(self, step: Coroutine[Any, Any, Value]) -> Value:
        return self._loop.run_until_complete(asyncio.wait_for(step, 60))

    def publish(self, keys: Iterable[str], *, urgency: Urgency, expires_in_s: float | None) -> None:
        async def publish() -> None:
            async with transaction(self.pool) as conn:
                expires_at = None
                if expires_in_s is not None:
                    expires_at = await conn.fetchval("select now()") + timedelta(seconds=expires_in_s)
                many: list[Message] = [email(key, urgency=urgency, expires_at=expires_at) for key in keys]
                await publish_many(conn, many)

        self.run(publish())

    def pause(self) -> None:
        async def pause() -> None:
            async with transaction(self.pool) as conn:
                await mark_paused(conn, channel="email", reason="simulated", paused_by="test")

        self.run(pause())
        self.clock.ahead_s += REFRESH_S

    def resume(self) -> None:
        async def resume() -> None:
            async with transaction(self.pool) as conn:
                await mark_resumed(conn, channel="email")

        self.run(resume())
        self.clock.ahead_s += REFRESH_S

    def drain(self) -> list[Claim]:
        """All that is due, to its end. Returns: what the adapter was handed, once each."""
        return self._hand_out(JobContext(once=True), None)

    def work(self, count: int) -> list[Claim]:
        """Until `count` have been started, under load. Returns: these, in order."""
        return self._hand_out(JobContext(), count)[:count]

    def _hand_out(self, context: JobContext, stop_after: int | None) -> list[Claim]:
        before = len(self.adapter.handed)

        def on_start() -> None:
            if stop_after is not None and len(self.adapter.handed) - before >= stop_after:
                context.stop.set()

        self.adapter.on_start = on_start
        self.run(self.engine.relay.run(context))
        return list({claim.message_id: claim for claim in self.adapter.handed[before:]}.values())

    def travel(self, seconds: float) -> None:
        async def travel() -> None:
            async with transaction(self.pool) as conn:
                for statement in TRAVEL[:2]:  # the worker lives
                    await conn.execute(statement, seconds)

        self.run(travel())
        self.clock.ahead_s += seconds

    def open(self) -> dict[str, int]:
        """Attempts of what has not ended, by key."""
        rows = self.run(
            self.pool.fetch(
                "select m.key, d.attempts from postroom.delivery d"
                " join postroom.message m on m.id = d.message_id"
            )
        )
        return {row["key"]: row["attempts"] for row in rows}

    def dead(self) -> dict[str, str]:
        """What each died of, by key."""
        rows = self.run(
            self.pool.fetch(
                "select m.key, l.cause from postroom.dead_letter l"
                " join postroom.message m on m.id = l.message_id"
            )
        )
        return {row["key"]: row["cause"] for row in rows}

    def delivered(self) -> Counter[str]:
        """How often each has been delivered, by key."""
        rows = self.run(
            self.pool.fetch(
                "select m.key from postroom.attempt a join postroom.message m on m.id = a.message_id"
                " where a.outcome = 'delivered'"
            )
        )
        return Counter(row["key"] for row in rows)
