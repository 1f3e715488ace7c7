"""A backlog of full destinations is scanned once, and an empty scan is followed by a pause."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any
from uuid import UUID

import pytest

from postroom.base.db import Connection, Pool, transaction
from postroom.outbox import store
from postroom.outbox.cursor import START, Cursor
from postroom.outbox.engine import past_full
from postroom.outbox.engine.around import Around
from postroom.outbox.engine.past_full import SCAN_MAX, EmptyScanPause, PastFullScan, Places
from postroom.outbox.engine.queue import Queue
from postroom.outbox.limits import Room
from postroom.outbox.model import Channel, Claim, Message
from tests.fixtures.clock import DrivenClock
from tests.fixtures.engine import Engine, ScriptedAdapter

PLACES = Places(first_max=10, retry_max=10)


def test_an_empty_scan_is_followed_by_a_pause_of_what_it_took() -> None:
    clock = DrivenClock()
    pause = EmptyScanPause(clock)
    assert not pause.holds(["a"])
    pause.begin(["a"], scan_s=0.1)
    clock.advance(0.39)
    assert pause.holds(["a"])
    clock.advance(0.02)
    assert not pause.holds(["a"])


@pytest.mark.parametrize(("scan_s", "pause_s"), [(0.0, 0.05), (60.0, 1.0)])
def test_the_pause_has_bounds(scan_s: float, pause_s: float) -> None:
    clock = DrivenClock()
    pause = EmptyScanPause(clock)
    pause.begin(["a"], scan_s=scan_s)
    clock.advance(pause_s - 0.001)
    assert pause.holds(["a"])
    clock.advance(0.002)
    assert not pause.holds(["a"])


def test_the_pause_ends_when_one_of_the_full_has_room() -> None:
    pause = EmptyScanPause(DrivenClock())
    pause.begin(["a", "b"], scan_s=1.0)
    assert pause.holds(["a", "b", "c"])
    assert not pause.holds(["b", "c"])


def to(host: str, count: int) -> list[Message]:
    return [
        Message(channel="webhook", payload={"url": f"https://{host}/", "type": "t"}) for _ in range(count)
    ]


def watch_scans(monkeypatch: pytest.MonkeyPatch) -> list[Cursor]:
    """Returns: where each scan from here on begins."""
    begun: list[Cursor] = []
    claim_around = store.claim_around

    async def watched(conn: Connection, **options: Any) -> list[Claim]:
        begun.append(options["cursor"])
        return await claim_around(conn, **options)

    monkeypatch.setattr(store, "claim_around", watched)
    return begun


async def found_beside(scan: PastFullScan, pool: Pool, *full: str) -> list[str]:
    """Returns: the destinations of what a claim around these takes."""
    async with pool.acquire() as conn:
        claims = await scan.claim(conn, PLACES, Around(full), START)
    return [claim.destination for claim in claims]


async def test_two_runners_share_what_is_due_beside_a_full_destination(dsn: str, pool: Pool) -> None:
    """Both look at the same time: what one has chosen is nothing for the other."""
    engine = await Engine(dsn, pool, ScriptedAdapter(channel=Channel.WEBHOOK)).start()
    await engine.publish([*to("full.example", 5), *to("open.example", 40)])

    async def claimed(conn: Connection) -> set[UUID]:
        scan = PastFullScan(Queue(engine.pool, engine.worker, "webhook", engine.clock))
        claims = await scan.claim(conn, PLACES, Around(["full.example"]), START)
        return {claim.message_id for claim in claims}

    async with transaction(pool) as first, transaction(pool) as second:
        ours, theirs = await claimed(first), await claimed(second)
    assert (len(ours), len(theirs), len(ours | theirs)) == (10, 10, 20)


async def test_what_was_claimed_beside_a_full_destination_is_not_read_again(
    dsn: str, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a breaker is open, all that was delivered meanwhile would lie in front of each claim."""
    engine = await Engine(dsn, pool, ScriptedAdapter(channel=Channel.WEBHOOK)).start()
    scan = PastFullScan(Queue(engine.pool, engine.worker, "webhook", engine.clock))
    begun = watch_scans(monkeypatch)

    async def found(*full: str) -> list[str]:
        return await found_beside(scan, pool, *full)

    await engine.publish([*to("full.example", 5), *to("open.example", 40)])
    for _ in range(4):
        assert await found("full.example") == ["open.example"] * 10
    assert [each.first for each in begun] == sorted({each.first for each in begun})
    late = await engine.publish(to("open.example", 1))
    await pool.execute("update postroom.delivery set due_at = '2020-01-01' where message_id = $1", late[0])
    assert await found("full.example") == ["open.example"], "it committed late, below what was claimed"
    assert await found("other.example") == ["full.example"] * 5


async def test_a_backlog_is_scanned_once_and_what_comes_after_it_is_found(dsn: str, pool: Pool) -> None:
    engine = await Engine(dsn, pool, ScriptedAdapter(channel=Channel.WEBHOOK)).start()
    scan = PastFullScan(Queue(engine.pool, engine.worker, "webhook", engine.clock))

    async def found() -> list[str]:
        return await found_beside(scan, pool, "full.example")

    await engine.publish(to("full.example", SCAN_MAX + 100))
    assert await found() == []
    await engine.publish(to("after.example", 3))
    assert await found() == ["after.example"] * 3
    await pool.execute(
        "update postroom.delivery set destination = 'within.example' where seq = (select max(seq) - 50 from "
        "postroom.delivery where destination = 'full.example')"
    )
    assert await found() == [], "the backlog was read before"
    scan.restart()
    assert await found() == ["within.example"]


async def test_beside_a_backlog_that_was_read_only_its_beginning_is_read_again(
    dsn: str, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = await Engine(dsn, pool, ScriptedAdapter(channel=Channel.WEBHOOK)).start()
    scan = PastFullScan(Queue(engine.pool, engine.worker, "webhook", engine.clock))
    begun = watch_scans(monkeypatch)

    async def found() -> list[str]:
        begun.clear()
        return await found_beside(scan, pool, "full.example")

    await engine.publish(to("full.example", 5))
    assert await found() == []
    for _ in range(2):
        assert (await found(), begun) == ([], [START])
    await engine.publish(to("full.example", 1))
    assert await found() == []
    await engine.publish(to("after.example", 3))
    assert await found() == ["after.example"] * 3
    assert (await found(), begun[-1]) == ([], begun[0]), "it looks behind what it found"
    assert begun[0] != START


async def test_a_look_at_a_long_backlog_ends_where_there_is_room_and_goes_on_from_there(
    dsn: str, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(past_full, "SCAN_MAX", 10)
    monkeypatch.setattr(past_full, "LONG_SCAN_MAX", 20)
    engine = await Engine(dsn, pool, ScriptedAdapter(channel=Channel.WEBHOOK)).start()
    hurry = asyncio.Event()
    hurry.set()
    queue = Queue(engine.pool, engine.worker, "webhook", engine.clock, in_a_hurry=hurry.is_set)
    scan = PastFullScan(queue)
    begun = watch_scans(monkeypatch)

    async def found() -> list[str]:
        begun.clear()
        return await found_beside(scan, pool, "full.example")

    await engine.publish([*to("full.example", 90), *to("open.example", 5)])
    assert (await found(), len(begun)) == ([], 2), "the usual scan, and one long one"
    first = begun[-1]
    assert (await found(), begun[0].first > first.first) == ([], True), "it goes on where that ended"
    async with pool.acquire() as conn:
        deep = await PastFullScan(queue).claim(conn, PLACES, Around(["full.example", "b.example"]), START)
        assert len(deep) == 5, "among several there is always one with room"
        await conn.execute("update postroom.delivery set worker = null, claimed_at = null")
    hurry.clear()
    assert await found() == ["open.example"] * 5


async def test_of_two_limited_backlogs_each_is_claimed_as_far_as_there_is_room(dsn: str, pool: Pool) -> None:
    """The second lies further behind than one scan reads."""
    engine = await Engine(dsn, pool, ScriptedAdapter(channel=Channel.WEBHOOK)).start()
    scan = PastFullScan(Queue(engine.pool, engine.worker, "webhook", engine.clock))

    async def found(a: int, b: int) -> dict[str, int]:
        rooms = [Room(None, "a.example", a), Room(None, "b.example", b)]
        async with pool.acquire() as conn:
            claims = await scan.claim(conn, PLACES, Around(limited=rooms), START)
        return Counter(claim.destination for claim in claims)

    await engine.publish([*to("a.example", SCAN_MAX + 100), *to("b.example", 40), *to("c.example", 5)])
    assert await found(0, 0) == {"c.example": 5}
    scan.restart()
    assert await found(3, 0) == {"a.example": 3}
    assert await found(0, 4) == {"b.example": 4}
    for _ in range(3):
        assert await found(0, 5) == {"b.example": 5}
    several = [await found(3, 5) for _ in range(4)]
    assert sum(each["a.example"] for each in several) >= 3
    assert sum(each["b.example"] for each in several) >= 5
    assert await found(0, 0) == {}
