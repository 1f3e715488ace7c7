"""A backlog of full destinations is scanned once, and an empty scan is followed by a pause."""

from __future__ import annotations

import pytest

from postroom.base.db import Pool
from postroom.outbox.cursor import START
from postroom.outbox.engine.past_full import SCAN_MAX, EmptyScanPause, PastFullScan, Places
from postroom.outbox.model import Channel, Message
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


async def test_a_backlog_is_scanned_once_and_what_comes_after_it_is_found(dsn: str, pool: Pool) -> None:
    engine = await Engine(dsn, pool, ScriptedAdapter(channel=Channel.WEBHOOK)).start()
    scan = PastFullScan(channel="webhook", worker=engine.worker, clock=engine.clock)

    async def found() -> list[str]:
        async with pool.acquire() as conn:
            claims = await scan.claim(conn, PLACES, full=["full.example"], cursor=START)
        return [claim.destination for claim in claims]

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
