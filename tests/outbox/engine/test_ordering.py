"""An ordering key: the next one waits until the one before has ended, however long that takes."""

from __future__ import annotations

import asyncio

from postroom.base.db import Pool, transaction
from postroom.outbox import store
from postroom.outbox.engine.restarts import RestartPace
from postroom.outbox.model import Claim, Delivered, Outcome, Rejected, RetryLater
from postroom.outbox.policy import settle
from postroom.worker.model import JobContext
from tests.fixtures.engine import AT_ONCE, Engine, ScriptedAdapter, email


async def end(engine: Engine, claim: Claim, outcome: Outcome) -> None:
    settlement = settle(outcome, attempts=claim.attempts, backoff=engine.backoff, jitter=0.5)
    async with transaction(engine.pool) as conn:
        assert not await store.settle_claims(conn, [(claim, settlement, 1)])


async def claimed(engine: Engine) -> list[str | None]:
    return [claim.key for claim in await engine.claim()]


async def test_the_next_one_waits_for_the_one_before(dsn: str, pool: Pool) -> None:
    engine = await Engine(dsn, pool, ScriptedAdapter()).start()
    await engine.publish([*(email(f"{n}", ordering_key="a") for n in range(3)), email("other")])
    claims = await engine.claim()
    assert [claim.key for claim in claims] == ["0", "other"]
    assert await claimed(engine) == [], "one is under way"
    await end(engine, claims[0], RetryLater("busy"))
    assert await claimed(engine) == [], "one waits to be tried again"
    await engine.travel(3_600)
    [again] = await engine.claim()
    await end(engine, again, Delivered())
    [second] = await engine.claim()
    assert second.key == "1"
    await end(engine, second, Rejected("never"))
    assert await claimed(engine) == ["2"], "a dead letter lets the next one pass"


ROWS_READ = "select idx_tup_read from pg_stat_user_indexes where indexrelname = 'delivery_due'"


NEVER_BACK = RestartPace(every_s=1e6, slow_claim_s=0.0, blocked_min=1, pause_claims=1e9)
"""The cursor passes by what waits for its ordering keys, and never goes back."""


async def test_the_next_one_follows_at_once_however_much_waits(dsn: str, pool: Pool) -> None:
    engine = await Engine(dsn, pool, ScriptedAdapter(), restart_pace=NEVER_BACK).start()
    keys = ("a", "b", "c")
    await engine.publish(email(f"{key}{n}", ordering_key=key) for n in range(100) for key in keys)
    await engine.publish(email(f"free{n}") for n in range(100))
    assert await engine.drain() == 400
    seen = [claim.key for claim in engine.adapter.seen]
    for key in keys:
        assert [each for each in seen if each in {f"{key}{n}" for n in range(100)}] == [
            f"{key}{n}" for n in range(100)
        ]


async def test_what_waits_behind_a_retry_costs_little_and_holds_up_nobody(dsn: str, pool: Pool) -> None:
    waiting = 3_000
    engine = await Engine(dsn, pool, ScriptedAdapter()).start()
    engine.adapter.answer = lambda claim: RetryLater("down", 3_600) if claim.key == "first" else Delivered()
    await engine.publish([email("first", ordering_key="a")])
    for start in range(0, waiting, 1_000):
        await engine.publish(email(f"{start + n}", ordering_key="a") for n in range(1_000))
    context = JobContext()
    task = asyncio.create_task(engine.relay.run(context))
    try:
        for number in range(20):
            await engine.publish([email(f"other{number}")])
            async with asyncio.timeout(20):
                while engine.adapter.seen[-1:] == [] or engine.adapter.seen[-1].key != f"other{number}":
                    await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
    finally:
        context.stop.set()
        engine.wakeup.wake_all()
        await task
    async with asyncio.timeout(20):
        while (read := await pool.fetchval(ROWS_READ)) < waiting:  # statistics come late
            await asyncio.sleep(0.1)
    assert read < 20 * waiting, "each look at the others would read all that waits"


async def test_what_waits_hides_no_retries(dsn: str, pool: Pool) -> None:
    def answer(claim: Claim) -> Outcome:
        if claim.key == "first":
            return RetryLater("down", 3_600)
        return RetryLater("busy") if claim.attempts == 0 else Delivered()

    engine = await Engine(dsn, pool, ScriptedAdapter(answer), AT_ONCE, restart_pace=NEVER_BACK).start()
    await engine.publish([email("first", ordering_key="a")])
    await engine.publish(email(f"waits{n}", ordering_key="a") for n in range(200))
    await engine.drain()
    await engine.publish(email(f"again{n}") for n in range(40))
    await engine.drain()
    seen = [str(claim.key) for claim in engine.adapter.seen]
    assert sorted(seen) == sorted(["first", *(f"again{n}" for n in range(40) for _ in range(2))])


async def test_keys_with_a_backlog_starve_nobody(dsn: str, pool: Pool) -> None:
    engine = await Engine(dsn, pool, ScriptedAdapter()).start()
    keys = 2 * engine.adapter.concurrency_max
    later: list[asyncio.Task[None]] = []

    async def publish(rounds: range) -> None:
        for number in rounds:
            await engine.publish(email(f"{number}:{key}", ordering_key=f"{key}") for key in range(keys))

    async def publish_more() -> None:
        await engine.publish([email("free")])
        await publish(range(10, 40))

    def answer(_: Claim) -> Outcome:
        if len(engine.adapter.seen) == keys:
            later.append(asyncio.create_task(publish_more()))
        return Delivered()

    engine.adapter.answer = answer
    await publish(range(10))
    await engine.drain()
    await asyncio.gather(*later)
    await engine.drain()
    seen = [claim.key for claim in engine.adapter.seen]
    assert len(seen) == 40 * keys + 1
    assert seen.index("free") < 20 * keys, "it was published before most of them"
