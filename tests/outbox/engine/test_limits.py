"""Limits that several runners keep together: real processes, a real database, in real time."""

from __future__ import annotations

import asyncio
import sys
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from postroom.base.db import Pool, transaction
from postroom.outbox.controls import Controls
from postroom.outbox.engine.limit_budget import VOID_S
from postroom.outbox.limits import (
    PILE_S,
    Lease,
    LimitKey,
    LimitStatus,
    Wanted,
    lease,
    list_limits,
    remove_limit,
    set_limit,
)
from postroom.outbox.model import Message
from postroom.worker.model import JobContext
from tests.fixtures.engine import Engine, ScriptedAdapter, email
from tests.fixtures.roles import pool_as

LONG_S = 30.0


@dataclass(frozen=True)
class Note:
    at: float
    sign: str
    pid: str
    tenant: str


class Log:
    """What the runners have written down, oldest first."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def notes(self, pids: Sequence[str] = ()) -> list[Note]:
        text = self.path.read_text() if self.path.exists() else ""
        lines = text[: text.rfind("\n") + 1].splitlines()  # the last one may be half written
        found = [line.split() for line in lines]
        notes = sorted((Note(float(at), *rest) for at, *rest in found), key=lambda note: note.at)
        return [each for each in notes if not pids or each.pid in pids]

    def starts(self, tenant: str = "") -> list[float]:
        return [each.at for each in self.notes() if each.sign == "+" and each.tenant.startswith(tenant)]

    async def until(self, what: str, holds: Callable[[], bool]) -> None:
        try:
            async with asyncio.timeout(LONG_S):
                while not holds():
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"never: {what}; {len(self.starts())} have started") from None


def keeps(per_second: float, starts: Sequence[float]) -> None:
    """What is promised, for every stretch of time that begins and ends with a start."""
    piled_up = max(per_second * PILE_S, 2)
    for first, began in enumerate(starts):
        for last in range(first, len(starts)):
            most = per_second * (starts[last] - began + VOID_S) + piled_up
            assert last - first + 1 <= most, f"{last - first + 1} in {starts[last] - began:.3f} s"


def most_at_once(notes: Sequence[Note], since: float = 0.0) -> int:
    there = most = 0
    for each in notes:
        there += 1 if each.sign == "+" else -1
        most = max(most, there if each.at >= since else 0)
    return most


@asynccontextmanager
async def runners(
    dsn: str, log: Log, *, count: int = 3, takes_s: float = 0.0, batch_max: int = 1
) -> AsyncIterator[list[Process]]:
    """That many, each a process of its own."""
    command = (sys.executable, "-m", "tests.processes.limited_runner", dsn, str(log.path), str(takes_s))
    async with AsyncExitStack() as stack:
        started = []
        for _ in range(count):
            process = await asyncio.create_subprocess_exec(*command, str(batch_max), stdout=DEVNULL)
            stack.push_async_callback(killed, process)
            started.append(process)
        yield started


async def killed(process: Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()


async def limit(pool: Pool, **wanted: Any) -> None:
    key = LimitKey("email", wanted.pop("tenant", None), wanted.pop("destination", None))
    async with transaction(pool) as conn:
        await set_limit(conn, key, reason="r", set_by="ada", **wanted)


def emails(count: int, tenant: str | None = None) -> list[Message]:
    return [email(tenant=tenant) for _ in range(count)]


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "log")


@pytest.fixture
async def engine(dsn: str, pool: Pool) -> Engine:
    return await Engine(dsn, pool, ScriptedAdapter()).start()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("batch_max", [1, 20])
async def test_three_runners_keep_a_rate_also_when_one_is_killed(
    dsn: str, pool: Pool, engine: Engine, log: Log, batch_max: int
) -> None:
    await limit(pool, per_second=50.0)
    await engine.publish(emails(900))
    async with runners(dsn, log, batch_max=batch_max) as started:
        await log.until("150 have started", lambda: len(log.starts()) >= 150)
        await killed(started[0])
        await log.until("650 have started", lambda: len(log.starts()) >= 650)
    starts = log.starts()
    keeps(50.0, starts)
    assert len(starts) >= 0.95 * 50 * (starts[-1] - starts[0])


@pytest.mark.timeout(120)
async def test_what_is_in_flight_at_three_runners_never_exceeds_the_limit(
    dsn: str, pool: Pool, engine: Engine, log: Log
) -> None:
    """What a killed runner had in flight counts until it is buried; then the others have its places."""
    await limit(pool, in_flight=6)
    await engine.publish(emails(3_000))
    async with runners(dsn, log, takes_s=0.03) as started:
        await log.until("100 have started", lambda: len(log.starts()) >= 100)
        await killed(started[0])
        before = len(log.starts())
        await log.until("others go on", lambda: len(log.starts()) >= before + 50)
        assert most_at_once(log.notes()) <= 6
        silent = "update postroom.worker set beat_at = now() - interval '1 minute' where pid = $1"
        await pool.execute(silent, started[0].pid)
        assert await engine.rescuer.rescue() > 0
        since = time.monotonic()
        living = [str(each.pid) for each in started[1:]]
        await log.until("six again", lambda: most_at_once(log.notes(living), since) == 6)
    assert most_at_once(log.notes(living)) == 6


async def test_a_tenant_at_its_limit_does_not_hold_up_the_others(
    pool: Pool, engine: Engine, dsn: str, log: Log
) -> None:
    """Nor one whose backlog is longer than a scan."""
    await limit(pool, tenant="slow", per_second=10.0)
    await engine.publish(emails(7_000, "slow"))
    await engine.publish(emails(300, "quick"))
    async with runners(dsn, log, count=2):
        await log.until("all of the quick one", lambda: len(log.starts("quick")) == 300)
        await log.until("some of the slow one", lambda: len(log.starts("slow")) >= 30)
    keeps(10.0, log.starts("slow"))


async def test_two_tenants_at_their_limits_do_not_hold_up_each_other(
    pool: Pool, engine: Engine, dsn: str, log: Log
) -> None:
    """The backlog of the one is longer than a scan, and the other's lies behind it."""
    await limit(pool, tenant="slow", per_second=5.0)
    await limit(pool, tenant="less-slow", per_second=50.0)
    await engine.publish(emails(7_000, "slow"))
    await engine.publish(emails(300, "less-slow"))
    await engine.travel(60)  # so that it does not look new
    async with runners(dsn, log, count=2):
        await log.until("some of the slow one", lambda: len(log.starts("slow")) >= 1)
        await log.until("200 of the other", lambda: len(log.starts("less-slow")) >= 200)
    starts = log.starts("less-slow")
    keeps(50.0, starts)
    assert starts[199] - starts[0] < 8, "not held up: 4 s are its limit"


async def test_limits_that_stay_the_same_are_not_new(pool: Pool, engine: Engine) -> None:
    """Whatever leasing does to the order of their rows: with new ones, what waits is handed back."""
    for tenant in "abc":
        await limit(pool, tenant=tenant, per_second=5.0)
    before = await Controls(pool=pool_as(pool, "runner"), clock=engine.clock).limits("email")
    await pool.execute("update postroom.delivery_limit set spent_to = now() where tenant = 'a'")
    assert await Controls(pool=pool_as(pool, "runner"), clock=engine.clock).limits("email") == before


async def test_a_destination_at_its_limit_does_not_hold_up_the_others(pool: Pool, engine: Engine) -> None:
    await limit(pool, destination="email", in_flight=2)
    engine.adapter.gate = asyncio.Event()
    await engine.publish(emails(20))
    await pool.execute("update postroom.delivery set destination = 'other' where seq % 2 = 0")
    running = asyncio.create_task(engine.relay.run(JobContext(once=True)))
    seen = engine.adapter.seen
    async with asyncio.timeout(10):
        while len(seen) < 12:
            await asyncio.sleep(0.01)
    assert sorted(claim.destination for claim in seen) == ["email"] * 2 + ["other"] * 10
    engine.adapter.gate.set()
    async with asyncio.timeout(10):
        assert await running == 20


async def test_with_once_everything_is_delivered_within_the_limit(pool: Pool, engine: Engine) -> None:
    await limit(pool, per_second=100.0, in_flight=3)
    await engine.publish(emails(60))
    async with asyncio.timeout(20):
        assert await engine.drain() >= 60
    assert await pool.fetchval("select count(*) from postroom.delivery") == 0
    assert await pool.fetchval("select count(*) from postroom.limit_place") == 0, "places are returned"


async def test_a_limit_that_is_removed_holds_nothing_up_any_more(pool: Pool, engine: Engine) -> None:
    await limit(pool, per_second=0.01)
    await engine.publish(emails(40))
    running = asyncio.create_task(engine.relay.run(JobContext(once=True)))
    async with asyncio.timeout(10):
        while not (await list_limits_of(pool))[0].reached:
            await asyncio.sleep(0.02)
    assert len(engine.adapter.seen) <= 2
    async with transaction(pool) as conn:
        assert await remove_limit(conn, LimitKey("email"))
        assert not await remove_limit(conn, LimitKey("email"))
    async with asyncio.timeout(10):
        await running
    assert len(engine.adapter.seen) == 40


async def test_who_has_no_turn_hands_back_what_it_holds(pool: Pool, engine: Engine) -> None:
    """Another runner has all places and keeps them: what waits here is for others to claim."""
    await limit(pool, in_flight=2)
    other = await pool.fetchval(
        "insert into postroom.worker (host, pid, role, version) values ('h', 1, 'test', '1') returning id"
    )
    await pool.execute(
        "insert into postroom.limit_place select id, $1, 2 from postroom.delivery_limit", other
    )
    await engine.publish(emails(2))
    stop = asyncio.Event()
    running = asyncio.create_task(engine.relay.run(JobContext(stop=stop)))
    claimed = "select count(*) from postroom.delivery where worker is not null"
    async with asyncio.timeout(20):
        while await pool.fetchval(claimed) < 2:
            await asyncio.sleep(0.01)
        while await pool.fetchval(claimed) > 0:
            await asyncio.sleep(0.01)
    assert engine.adapter.seen == []
    assert await pool.fetchval("select max(attempts) from postroom.delivery") == 0
    await pool.execute("delete from postroom.worker where id = $1", other)  # buried: its places return
    async with asyncio.timeout(20):
        while len(engine.adapter.seen) < 2:
            await asyncio.sleep(0.01)
    stop.set()
    await running


async def list_limits_of(pool: Pool) -> list[LimitStatus]:
    async with pool.acquire() as conn:
        return await list_limits(conn)


async def leased(pool: Pool, worker: int, *, starts: int = 0, places: int = 0, used: int = 0) -> Lease:
    limit_id = await pool.fetchval("select id from postroom.delivery_limit")
    async with transaction(pool) as conn:
        [given] = await lease(conn, worker=worker, wanted=[Wanted(limit_id, starts, places, used)])
    return given


async def test_what_nobody_starts_piles_up_for_a_moment_only(pool: Pool, engine: Engine) -> None:
    await limit(pool, per_second=100.0)
    await pool.execute("update postroom.delivery_limit set spent_to = now() - interval '1 hour'")
    first = await leased(pool, engine.worker.id, starts=1_000)
    assert first.starts == 100 * PILE_S
    again = await leased(pool, engine.worker.id, starts=1_000)
    assert again.starts < 100 * PILE_S
    assert again.next_start_s is not None
    assert 0 < again.next_start_s <= 0.01


async def test_of_a_slow_limit_two_starts_pile_up(pool: Pool, engine: Engine) -> None:
    await limit(pool, per_second=0.1)
    await pool.execute("update postroom.delivery_limit set spent_to = now() - interval '1 hour'")
    given = await leased(pool, engine.worker.id, starts=5)
    assert given.starts == 2
    assert given.next_start_s == pytest.approx(10, abs=1)


async def test_places_are_shared_by_those_who_want_them(pool: Pool, engine: Engine) -> None:
    await limit(pool, in_flight=10)
    other = (await Engine("", pool, ScriptedAdapter()).start()).worker.id
    mine = engine.worker.id
    assert (await leased(pool, mine, places=20)).places == 10, "nobody else wants any"
    assert (await leased(pool, other, places=3)).places == 0
    assert (await leased(pool, mine, places=20, used=9)).places == 7, "what the other one does not want"
    assert (await leased(pool, other, places=3)).places == 1, "as long as nine are in use"
    assert (await leased(pool, mine, places=20, used=7)).places == 7
    assert (await leased(pool, other, places=20)).places == 3
    assert (await leased(pool, mine, places=20, used=2)).places == 5
    assert (await leased(pool, other, places=20)).places == 5
    assert (await leased(pool, other)).places == 0
    assert (await leased(pool, mine, places=20)).places == 10


async def test_a_lowered_limit_gives_out_no_place_before_enough_has_ended(pool: Pool, engine: Engine) -> None:
    await limit(pool, in_flight=10)
    other = (await Engine("", pool, ScriptedAdapter()).start()).worker.id
    assert (await leased(pool, engine.worker.id, places=6)).places == 6
    assert (await leased(pool, other, places=4)).places == 4
    await limit(pool, in_flight=5)
    assert (await leased(pool, engine.worker.id, places=9, used=6)).places == 1, "none that it may start"
    assert (await leased(pool, other, places=9, used=4)).places == -1
    assert await pool.fetchval("select sum(held) from postroom.limit_place") == 10, "they are in flight"
    assert (await leased(pool, engine.worker.id, places=9, used=0)).places == 1
    assert (await leased(pool, other, places=9, used=0)).places == 3


async def test_one_for_all_one_for_a_tenant_and_one_for_a_destination_may_stand_together(pool: Pool) -> None:
    for wanted in ({}, {"tenant": "a"}, {"destination": "a"}, {"tenant": "b"}, {"tenant": "a"}):
        await limit(pool, **wanted, per_second=5.0)
    found = await list_limits_of(pool)
    assert [(each.tenant, each.destination) for each in found] == [
        (None, None), (None, "a"), ("a", None), ("b", None),
    ]  # fmt: skip
