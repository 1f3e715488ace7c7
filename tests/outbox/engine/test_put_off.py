"""What cannot be sent now is moved out of the way of the rest, with no attempt spent."""

from __future__ import annotations

from postroom.base.db import Pool
from postroom.outbox.engine.put_off import CLOSED_EVERY_S, CLOSED_MAX_S, SCAN_MAX, PutOff
from postroom.outbox.engine.queue import Queue
from postroom.outbox.model import Channel, Message
from tests.fixtures.clock import DrivenClock
from tests.fixtures.engine import Engine, ScriptedAdapter

LATEST = "select extract(epoch from max(due_at) - now())::float8 from postroom.delivery where attempts = 0"


async def engine_with(dsn: str, pool: Pool, count: int) -> tuple[Engine, PutOff, DrivenClock]:
    engine = await Engine(dsn, pool, ScriptedAdapter(channel=Channel.WEBHOOK)).start()
    payload = {"url": "https://a.example/", "type": "t"}
    await engine.publish(Message(channel="webhook", payload=payload) for _ in range(count))
    clock = DrivenClock()
    return engine, PutOff(Queue(pool, engine.worker, "webhook", clock)), clock


async def test_a_closed_destination_is_put_off_but_not_for_as_long_as_its_breaker_says(
    dsn: str, pool: Pool
) -> None:
    engine, put_off, clock = await engine_with(dsn, pool, 1)
    await put_off.closed({"a.example": 3_600.0})
    assert CLOSED_MAX_S - 5 < await pool.fetchval(LATEST) <= CLOSED_MAX_S
    await engine.travel(3_600)
    await put_off.closed({"a.example": 3_600.0})
    assert await pool.fetchval(LATEST) < 0, "not so soon again"
    clock.advance(CLOSED_EVERY_S)
    await put_off.closed({"a.example": 3_600.0})
    assert await pool.fetchval(LATEST) > 0


async def test_a_silent_destination_is_put_off_only_where_it_fills_a_scan(dsn: str, pool: Pool) -> None:
    engine, put_off, _ = await engine_with(dsn, pool, SCAN_MAX - 1)
    async with pool.acquire() as conn:
        await put_off.silent(conn, ["a.example"])
        assert await pool.fetchval(LATEST) < 0
        await engine.publish([Message(channel="webhook", payload={"url": "https://a.example/", "type": "t"})])
        await put_off.silent(conn, [])
        assert await pool.fetchval(LATEST) < 0
        await put_off.silent(conn, ["a.example"])
    assert await pool.fetchval(LATEST) > 0
