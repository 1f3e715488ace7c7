"""What a relay does while a destination has its share: it waits, and hears what ends meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from postroom.base.db import Pool, transaction
from postroom.outbox.engine import relay
from postroom.outbox.model import Answer, Channel, Claim, Delivered, Message
from postroom.outbox.pauses import mark_paused
from postroom.worker.model import JobContext
from tests.fixtures.engine import AdapterEngine, ScriptedAdapter


class Slow(ScriptedAdapter):
    """Answers at once, but for one receiver."""

    circuit: str | None = None
    concurrency_max = 400
    per_destination_max = 20

    def __init__(self) -> None:
        super().__init__(channel=Channel.WEBHOOK)
        self.opened = asyncio.Event()

    async def deliver(self, claim: Claim) -> Answer:
        if claim.destination == "slow.example":
            await self.opened.wait()
        self.seen.append(claim)
        return Delivered()

    def count(self, host: str) -> int:
        return sum(claim.destination == host for claim in self.seen)


def to(host: str, count: int, key: str | None = None) -> list[Message]:
    payload = {"url": f"https://{host}/", "type": "t"}
    return [Message(channel="webhook", payload=payload, ordering_key=key) for _ in range(count)]


@asynccontextmanager
async def running(engine: AdapterEngine) -> AsyncIterator[Slow]:
    context = JobContext()
    task = asyncio.create_task(engine.relay.run(context))
    adapter = engine.adapter
    assert isinstance(adapter, Slow)
    try:
        async with asyncio.timeout(25):
            yield adapter
    finally:
        adapter.opened.set()
        context.stop.set()
        engine.wakeup.wake_all()
        await task


@pytest.fixture
async def engine(dsn: str, pool: Pool) -> AdapterEngine:
    return await AdapterEngine(dsn, pool, Slow()).start()


async def test_the_next_of_a_key_does_not_wait_for_a_full_destination(
    engine: AdapterEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "FULL_WAIT_S", 30.0)
    await engine.publish(to("slow.example", 600))
    await engine.publish(to("other.example", 100, key="k"))
    async with running(engine) as adapter:
        while adapter.count("other.example") < 100:
            await asyncio.sleep(0.01)
        assert adapter.count("slow.example") == 0


async def test_a_destination_that_was_full_gets_more_as_soon_as_it_has_room(
    engine: AdapterEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "FULL_WAIT_S", 30.0)
    await engine.publish(to("quick.example", 2_000))
    async with running(engine) as adapter:
        while adapter.count("quick.example") < 2_000:
            await asyncio.sleep(0.01)


async def test_a_pause_beside_a_full_destination_asks_for_nothing(
    engine: AdapterEngine, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0
    claim = relay.Relay._claim

    async def counted(*args: object) -> int:
        nonlocal asked
        asked += 1
        return await claim(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(relay.Relay, "_claim", counted)
    await engine.publish(to("slow.example", 600))
    async with running(engine) as adapter:
        while asked < 5:
            await asyncio.sleep(0.01)
        async with transaction(pool) as conn:
            await mark_paused(conn, channel="webhook", reason="test", paused_by="test")
        await asyncio.sleep(1.5)  # until the relay has read it
        adapter.opened.set()  # all that was under way ends
        await asyncio.sleep(0.2)
        asked = 0
        await asyncio.sleep(1.0)
        assert asked < 20
