"""What a worker held when it died: found by its notes, due at once, and charged for what was started only."""

from __future__ import annotations

import asyncio
import signal
import sys

import pytest

from postroom.base.db import Pool
from postroom.outbox.engine.rescuer import Rescuer
from postroom.outbox.jobs import rescue_job
from postroom.outbox.model import Channel, Deferred, Delivered, RetryLater
from postroom.resilience.backoff import Backoff
from postroom.worker.heartbeat import GRACE_S, Worker
from postroom.worker.model import JobContext
from tests.fixtures.clock import DrivenClock
from tests.fixtures.engine import AT_ONCE, TRAVEL, Engine, ScriptedAdapter, email
from tests.fixtures.roles import pool_as
from tests.processes.crash_loop import POISON

RUN_S = 60.0
BYSTANDERS = 40
RUNS_MAX = 15


async def run_until_it_ends(dsn: str) -> int:
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.processes.crash_loop", dsn)
    async with asyncio.timeout(RUN_S):
        return await process.wait()


async def test_a_crash_loop_kills_what_causes_it_and_nobody_else(dsn: str, pool: Pool) -> None:
    engine = await Engine(dsn, pool, ScriptedAdapter()).start()
    await engine.publish([email("first"), email(POISON), *(email(f"k{n}") for n in range(BYSTANDERS))])
    killed_count = 0
    for _ in range(RUNS_MAX):
        killed_count += await run_until_it_ends(dsn) == -signal.SIGKILL
        for statement in TRAVEL:
            await pool.execute(statement, 60.0)
        if not await pool.fetchval("select count(*) from postroom.delivery"):
            break
    assert killed_count == AT_ONCE.attempts_max + 1, "the first death spends nothing"
    dead = await pool.fetch(
        "select m.key, d.cause from postroom.dead_letter d join postroom.message m on m.id = d.message_id"
    )
    assert [tuple(row) for row in dead] == [(POISON, "ours")]
    assert await pool.fetchval("select count(*) from postroom.delivery") == 0
    spent = await pool.fetch(
        "select attempt, count(*) from postroom.attempt where outcome = 'delivered' group by attempt"
    )
    counts = {row["attempt"]: row["count"] for row in spent}
    assert counts.keys() <= {1, 2}, "what was under way beside it once is not beside it again"
    assert counts.get(2, 0) <= RUNS_MAX, "one place beside it in each run"


async def test_whose_worker_has_died_is_watched_until_an_attempt_ends(dsn: str, pool: Pool) -> None:
    engine = await Engine(dsn, pool, ScriptedAdapter(lambda _: RetryLater("busy"))).start()
    await engine.publish([email("k")])
    await engine.claim()
    await engine.travel(60)
    assert await engine.rescuer.rescue() == 1
    assert await pool.fetchval("select started_no from postroom.delivery") == 0
    logged = await pool.fetchrow("select outcome, attempt, reason from postroom.attempt")
    assert logged is not None
    assert logged["outcome"] == "abandoned"
    assert logged["attempt"] == 1
    assert "may have been sent" in logged["reason"]
    other = await Engine(dsn, pool, engine.adapter).start()
    assert await other.drain() == 1
    assert [claim.started_no for claim in engine.adapter.seen] == [0]
    assert await pool.fetchval("select started_no from postroom.delivery") is None
    assert await pool.fetchval("select attempts from postroom.delivery") == 1


async def test_what_may_have_killed_a_worker_goes_alone_and_holds_no_place(dsn: str, pool: Pool) -> None:
    engine = await Engine(dsn, pool, ScriptedAdapter()).start()
    await engine.publish(email(f"k{n}") for n in range(3))
    await pool.execute("update postroom.delivery set started_no = 1")
    claims = await engine.claim()
    engine.adapter.gate = asyncio.Event()
    first = asyncio.create_task(engine.relay._attempts.batch(claims[:1]))
    async with asyncio.timeout(RUN_S):
        while not engine.adapter.seen:
            await asyncio.sleep(0.01)
    [answer] = await engine.relay._attempts.batch(claims[1:2])
    assert isinstance(answer, Deferred)
    engine.adapter.gate.set()
    assert await first == [Delivered()]
    assert await engine.relay._attempts.batch(claims[2:]) == [Delivered()]


async def test_what_cannot_be_written_down_is_not_started(dsn: str, pool: Pool) -> None:
    """Somebody else has taken it over between the claim and its start."""
    engine = await Engine(dsn, pool, ScriptedAdapter()).start()
    await engine.publish([email("k")])
    await pool.execute("update postroom.delivery set started_no = 0")
    [claim] = await engine.claim()
    await pool.execute("update postroom.delivery set worker = worker + 1")
    answers = await engine.relay._attempts.batch([claim])
    assert not engine.adapter.seen
    assert not isinstance(answers[0], Delivered)


async def test_what_has_ended_is_noted_no_longer(dsn: str, pool: Pool) -> None:
    engine = await Engine(dsn, pool, ScriptedAdapter()).start()
    await engine.publish(email(f"k{n}") for n in range(300))
    await engine.claim(3)
    assert await pool.fetchval("select cardinality(message_ids) from postroom.claim_batch") == 3
    await engine.drain()
    assert await pool.fetchval("select count(*) from postroom.claim_batch") == 1, "the one of these three"


async def test_after_an_outage_the_first_one_back_takes_nothing_from_the_living(dsn: str, pool: Pool) -> None:
    engine = await Engine(dsn, pool, ScriptedAdapter()).start()
    await engine.publish([email("k")])
    await engine.claim()
    await engine.travel(60)  # nobody could beat for so long
    clock = DrivenClock()
    first = Worker(pool=pool_as(pool, "runner"), role="test", clock=clock)
    await first.register()
    backoffs: dict[Channel, Backoff] = dict.fromkeys(Channel, engine.backoff)
    job = rescue_job(
        rescuer=Rescuer(pool=pool_as(pool, "runner"), worker=first, backoffs=backoffs), unpark=nothing
    )
    assert await job.run(JobContext()) == 0
    await engine.worker.beat()
    clock.advance(GRACE_S)
    assert await job.run(JobContext()) == 0
    assert await pool.fetchval("select worker from postroom.delivery") == engine.worker.id
    await engine.travel(60)
    await first.beat()
    assert await job.run(JobContext()) == 1, "who stays silent is dead"


async def nothing() -> int:
    return 0


@pytest.mark.parametrize("noted", [True, False], ids=["noted", "by a runner of before"])
async def test_a_dead_worker_leaves_nothing_behind(dsn: str, pool: Pool, noted: bool) -> None:
    engine = await Engine(dsn, pool, ScriptedAdapter()).start()
    await engine.publish(email(f"k{n}") for n in range(5))
    await engine.claim()
    if not noted:
        await pool.execute("delete from postroom.claim_batch")
    await engine.travel(60)
    other = await Engine(dsn, pool, ScriptedAdapter()).start()
    assert await other.rescuer.rescue() == 5
    assert await pool.fetchval("select count(*) from postroom.claim_batch") == 0
    assert await pool.fetchval("select array_agg(id) from postroom.worker") == [other.worker.id]
    assert await other.drain() == 5


async def test_what_is_of_a_channel_that_only_newer_runners_know_is_freed_with_the_rest(
    dsn: str, pool: Pool
) -> None:
    """In a rolling upgrade. It failed the job, and with it the rescue of everything else that was held."""
    engine = await Engine(dsn, pool, ScriptedAdapter(channel=Channel.STRIPE_API)).start()
    await pool.execute(
        """select postroom.publish('stripe_api', '{"method": "POST", "path": "/v1/refunds"}')"""
    )
    await engine.claim()
    await pool.execute("update postroom.delivery set started_no = claim_no")
    await engine.travel(60)
    older = Rescuer(pool=pool, worker=engine.worker, backoffs={Channel.EMAIL: AT_ONCE})
    assert await older.rescue() == 1
    row = await pool.fetchrow("select state, attempts, worker from postroom.delivery")
    assert row is not None
    assert tuple(row) == ("retry", 1, None)
