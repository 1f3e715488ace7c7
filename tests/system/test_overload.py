"""Ten times more comes in than can go out: memory stays bounded, callers are told, nothing is lost."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from postroom.admin.tokens import Scope, insert_token
from postroom.base.db import Pool, transaction
from postroom.dev.receiver import Receiver
from tests.system.test_crash_matrix import Start, start, until

__all__ = ["start"]  # a fixture of another module

LOAD_S = float(os.environ.get("POSTROOM_TEST_OVERLOAD_S", "5"))
DELIVER_WITHIN_S = 20 * LOAD_S
CALLERS = 40
BATCH = 20
REST_S = 1.0 if LOAD_S >= 60 else 0.0
"""Of each caller: over minutes 800 a second come in, sixteen times what goes out, so that the end is near;
over seconds as many as can be stored."""
ANSWER_S = 0.4
"""What each delivery takes: with 20 connections to the receiver, 50 a second go out."""
RSS_GROWTH_BYTES_MAX = 150_000_000
LATENCY_P99_S = 5.0


@dataclass(slots=True)
class Told:
    """What callers were answered."""

    accepted: list[str] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    latencies_s: list[float] = field(default_factory=list)
    without_retry_after: int = 0


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver(behaviour=f"slow/{ANSWER_S}") as receiver:
        yield receiver


def resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.timeout(LOAD_S * 30 + 120)
async def test_ten_times_more_in_than_out(
    pool: Pool, receiver: Receiver, start: Start, unused_tcp_port: int
) -> None:
    async with transaction(pool) as conn:
        token, _ = await insert_token(conn, name="load", scopes=(Scope.EVENTS_WRITE,))
    api = start("postroom", "serve", POSTROOM_PORT=str(unused_tcp_port))
    runner = start("postroom", "work")
    headers = {"Authorization": f"Bearer {token}"}
    base = f"http://127.0.0.1:{unused_tcp_port}"
    async with aiohttp.ClientSession(
        base, headers=headers, connector=aiohttp.TCPConnector(limit=CALLERS)
    ) as client:
        await until(lambda: ready(client))
        before = {process.pid: resident_bytes(process.pid) for process in (api, runner)}
        told, peak = await overload(client, receiver, before)
        at_the_end: int = await pool.fetchval("select count(*) from postroom.delivery")
    sent = len(receiver.received)
    assert len(told.accepted) >= 10 * sent, "this was no overload"
    assert set(told.statuses) <= {201, 503}
    assert told.without_retry_after == 0
    assert sorted(told.latencies_s)[int(len(told.latencies_s) * 0.99)] < LATENCY_P99_S
    for pid, start_bytes in before.items():
        assert peak[pid] - start_bytes < RSS_GROWTH_BYTES_MAX
    assert at_the_end > 0

    receiver.behaviour = "ok"
    async with asyncio.timeout(DELIVER_WITHIN_S):
        while await pool.fetchval("select count(*) from postroom.delivery"):
            await pool.execute("update postroom.delivery set due_at = now() where state = 'retry'")
            await asyncio.sleep(0.2)
    assert await pool.fetchval("select count(*) from postroom.dead_letter") == 0
    kept: int = await pool.fetchval(
        "select count(*) from postroom.message where key = any($1)", told.accepted
    )
    assert kept == len(told.accepted)
    delivered: int = await pool.fetchval(
        "select sum(value)::bigint from postroom.tally where name = 'ended' and label = 'webhook/delivered'"
    )
    assert delivered == await pool.fetchval("select count(*) from postroom.message")


async def ready(client: aiohttp.ClientSession) -> bool:
    try:
        async with client.get("/readyz") as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


async def overload(
    client: aiohttp.ClientSession, receiver: Receiver, before: dict[int, int]
) -> tuple[Told, dict[int, int]]:
    """Callers on and on. Returns: what they were told, and the most memory each process had."""
    told, peak, until_s = Told(), dict(before), time.monotonic() + LOAD_S

    async def caller(number: int) -> None:
        count = 0
        while time.monotonic() < until_s:
            keys = [f"load-{number}-{count}-{n}" for n in range(BATCH)]
            count += 1
            await send(client, receiver, keys, told)
            await asyncio.sleep(REST_S)

    async def watch() -> None:
        while True:
            peak.update({pid: max(most, resident_bytes(pid)) for pid, most in peak.items()})
            await asyncio.sleep(0.1)

    watching = asyncio.create_task(watch())
    await asyncio.gather(*(caller(number) for number in range(CALLERS)))
    watching.cancel()
    return told, peak


async def send(client: aiohttp.ClientSession, receiver: Receiver, keys: list[str], told: Told) -> None:
    events = [
        {"channel": "webhook", "key": key, "payload": {"url": receiver.url(), "type": "t", "data": {}}}
        for key in keys
    ]
    started = time.monotonic()
    async with client.post("/v1/events", data=json.dumps(events)) as answer:
        told.statuses[answer.status] += 1
        told.latencies_s.append(time.monotonic() - started)
        if answer.status == 201:
            told.accepted += keys
        elif "Retry-After" not in answer.headers:
            told.without_retry_after += 1


async def test_callers_are_told_to_come_again_before_anything_breaks(
    pool: Pool, start: Start, unused_tcp_port: int, receiver: Receiver
) -> None:
    """Nothing can be stored for a while: what waits is bounded in time, and each caller hears of it."""
    async with transaction(pool) as conn:
        token, _ = await insert_token(conn, name="load", scopes=(Scope.EVENTS_WRITE,))
    start("postroom", "serve", POSTROOM_PORT=str(unused_tcp_port))
    base = f"http://127.0.0.1:{unused_tcp_port}"
    headers = {"Authorization": f"Bearer {token}"}
    told = Told()
    async with aiohttp.ClientSession(base, headers=headers) as client:
        await until(lambda: alive(client))
        await send(client, receiver, ["first"], told)
        async with pool.acquire() as conn, conn.transaction():
            await conn.execute("lock table postroom.message in share row exclusive mode")
            await asyncio.gather(*(send(client, receiver, [f"k{n}"], told) for n in range(30)))
            assert told.statuses == {201: 1, 503: 30}
            assert told.without_retry_after == 0
            async with client.get("/livez") as answer:
                assert answer.status == 200
        await send(client, receiver, ["last"], told)
        assert told.statuses[201] == 2


async def alive(client: aiohttp.ClientSession) -> bool:
    try:
        async with client.get("/readyz?exclude=jobs") as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False
