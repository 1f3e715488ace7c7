"""A real engine on a real database, with an adapter whose answers a test chooses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Self
from uuid import UUID

from postroom.base.clock import SystemClock
from postroom.base.db import Pool, transaction
from postroom.outbox import store
from postroom.outbox.engine.relay import Relay
from postroom.outbox.engine.rescuer import Rescuer
from postroom.outbox.model import Adapter, Answer, Channel, Claim, Delivered, Message
from postroom.outbox.publish import publish_many
from postroom.resilience.backoff import Exponential
from postroom.resilience.circuits import Circuits
from postroom.worker.heartbeat import Worker
from postroom.worker.model import JobContext
from postroom.worker.wakeup import Wakeup


class ScriptedAdapter:
    """Answers as told, and remembers what it was handed."""

    circuit: str | None = ""
    concurrency_max = 50
    per_destination_max = 50
    timeout_s = 5.0

    def __init__(
        self, answer: Callable[[Claim], Answer] = lambda _: Delivered(), channel: Channel = Channel.EMAIL
    ) -> None:
        self.channel = channel
        self.answer = answer
        self.seen: list[Claim] = []
        self.gate: asyncio.Event | None = None

    async def deliver(self, claim: Claim) -> Answer:
        self.seen.append(claim)
        if self.gate is not None:
            await self.gate.wait()
        return self.answer(claim)

    def check(self, payload: dict[str, Any]) -> None: ...

    async def start(self) -> None: ...

    async def close(self) -> None: ...


class AdapterEngine:
    """One worker with one channel, and whatever way out it has."""

    def __init__(self, dsn: str, pool: Pool, adapter: Adapter) -> None:
        self.pool = pool
        self.adapter = adapter
        self.clock = SystemClock()
        self.worker = Worker(pool=pool, role="test")
        self.wakeup = Wakeup(dsn=dsn, pool=pool, worker=self.worker)
        self.backoff = Exponential(attempts_max=3, base_s=60)

    async def start(self) -> Self:
        await self.worker.register()
        self.circuits = Circuits(pool=self.pool, clock=self.clock, worker=self.worker.id)
        self.relay = Relay(
            pool=self.pool,
            clock=self.clock,
            worker=self.worker,
            wakeup=self.wakeup,
            circuits=self.circuits,
            adapter=self.adapter,
            backoff=self.backoff,
        )
        self.rescuer = Rescuer(
            pool=self.pool, worker=self.worker, backoffs=dict.fromkeys(Channel, self.backoff)
        )
        return self

    async def drain(self) -> int:
        return await self.relay.run(JobContext(once=True))

    async def claim(self, count: int = 10) -> list[Claim]:
        async with transaction(self.pool) as conn:
            return await store.claim_due(
                conn,
                channel=self.adapter.channel,
                worker=self.worker.id,
                first_max=count,
                retry_max=count,
            )

    async def publish(self, messages: Iterable[Message]) -> list[UUID]:
        async with transaction(self.pool) as conn:
            return [each.id for each in await publish_many(conn, list(messages))]

    async def travel(self, seconds: float) -> None:
        """Let time pass, as the database sees it: everything it compares moves into the past."""
        async with transaction(self.pool) as conn:
            for statement in TRAVEL:
                await conn.execute(statement, seconds)
        await self.circuits.listed()  # what it remembers of them is old now


class Engine(AdapterEngine):
    """The same with a way out that answers as told."""

    adapter: ScriptedAdapter


TRAVEL = (
    "update postroom.delivery set due_at = due_at - make_interval(secs => $1)",
    "update postroom.worker set beat_at = beat_at - make_interval(secs => $1)",
    "update postroom.circuit set retry_at = retry_at - make_interval(secs => $1)",
    "update postroom.job set next_run_at = next_run_at - make_interval(secs => $1)",
    "update postroom.dead_letter set died_at = died_at - make_interval(secs => $1)",
)


def email(key: str | None = None, **more: Any) -> Message:
    return Message(
        channel="email", payload={"to": "ada@example.com", "subject": "s", "text": "t"}, key=key, **more
    )
