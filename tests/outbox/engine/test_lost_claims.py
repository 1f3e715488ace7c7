"""What chaos found: claims that the database made and that nobody heard of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from structlog.testing import capture_logs

from chaos.link import Link
from postroom.base.db import DATABASE_FAILURES, Connection, Pool, open_pool
from postroom.outbox import store
from postroom.outbox.engine.restarts import RestartPace
from postroom.outbox.jobs import relay_job
from postroom.outbox.model import Answer, Claim
from postroom.worker.model import JobContext
from tests.fixtures.engine import Engine, ScriptedAdapter, email
from tests.fixtures.links import linked

WAIT_S = 30.0
POLL_S = 0.02


@pytest.fixture
async def way(dsn: str) -> AsyncIterator[tuple[Link, str]]:
    async with linked(dsn) as way:
        yield way


@pytest.fixture
def link(way: tuple[Link, str]) -> Link:
    return way[0]


@pytest.fixture
async def engine(way: tuple[Link, str]) -> AsyncIterator[Engine]:
    """All of its connections go through the link."""
    _, through = way
    pool = await open_pool(through)
    yield await Engine(through, pool, ScriptedAdapter()).start()
    pool.terminate()


async def until_claimed(pool: Pool) -> None:
    async with asyncio.timeout(WAIT_S):
        while not await pool.fetchval("select count(*) from postroom.delivery where worker is not null"):
            await asyncio.sleep(POLL_S)


async def until_tried(adapter: ScriptedAdapter) -> None:
    async with asyncio.timeout(WAIT_S):
        while not adapter.seen:
            await asyncio.sleep(POLL_S)


async def test_a_claim_whose_answer_was_lost_is_handed_back(engine: Engine, link: Link, pool: Pool) -> None:
    await engine.drain()  # its statement is prepared now, so that one message asks for all of it
    await engine.publish([email("k")])
    link.deaf = True
    relaying = asyncio.create_task(engine.relay.run(JobContext(once=True)))
    await until_claimed(pool)
    link.deaf = False
    link.cut()
    with pytest.raises(DATABASE_FAILURES):
        await relaying
    assert not engine.adapter.seen

    assert await engine.drain() == 1
    assert [claim.attempts for claim in engine.adapter.seen] == [0], "nobody had tried it"


async def test_a_claim_that_commits_long_after_its_connection_died_is_handed_back(
    dsn: str, pool: Pool
) -> None:
    engine = await Engine(dsn, pool, ScriptedAdapter(), check_lost_claims_s=0.0).start()
    engine.relay._lost_claims.suspect()
    await engine.publish([email("k")])
    blocked = await pool.acquire()
    late = blocked.transaction()
    await late.start()
    await blocked.execute(
        "update postroom.delivery set worker = $1, claim_no = claim_no + 1, claimed_at = now()",
        engine.worker.id,
    )
    await blocked.execute(
        "insert into postroom.claim_batch (worker, channel, message_ids, ns)"
        " select worker, channel, array[message_id], array[n] from postroom.delivery"
    )
    stop = asyncio.Event()
    relaying = asyncio.create_task(engine.relay.run(JobContext(stop=stop)))
    async with asyncio.timeout(WAIT_S):
        while engine.relay._lost_claims._known_from is None:
            await asyncio.sleep(POLL_S)
    await late.commit()
    await pool.release(blocked)
    async with asyncio.timeout(WAIT_S):
        while not engine.adapter.seen:
            await asyncio.sleep(POLL_S)
    stop.set()
    await relaying


async def test_a_claim_of_a_worker_that_is_buried_already_is_rescued(engine: Engine, pool: Pool) -> None:
    await engine.publish([email("k")])
    await engine.claim()
    await pool.execute("delete from postroom.worker")
    assert await engine.rescuer.rescue() == 1
    assert await engine.drain() == 1


async def test_when_two_relays_fail_at_once_none_leaves_claims_behind(
    dsn: str, pool: Pool, engine: Engine, link: Link
) -> None:
    """The first to end must not cut off the others while they still write down what was sent."""
    others = [await Engine(dsn, engine.pool, ScriptedAdapter()).start() for _ in range(2)]
    every = [engine, *others]
    for each in every:
        each.adapter.gate = asyncio.Event()
    await engine.publish(email(f"k{n}") for n in range(30))
    job = relay_job("outbox-delivery", [each.relay for each in every])
    running = asyncio.ensure_future(job.run(JobContext()))
    await until_claimed(pool)
    await link.shut()
    for each in every:
        assert each.adapter.gate is not None
        each.adapter.gate.set()
    await asyncio.sleep(POLL_S)
    await link.open()
    with pytest.raises(DATABASE_FAILURES):
        async with asyncio.timeout(WAIT_S):
            await running
    for each in every:
        await each.drain()
    assert await pool.fetchval("select count(*) from postroom.delivery") == 0
    assert sum(len(each.adapter.seen) for each in every) == 30


async def test_what_was_sent_and_cannot_be_written_down_is_named_once(
    engine: Engine, link: Link, pool: Pool
) -> None:
    """If the runner is killed now, only its log knows what came of the attempt."""
    engine.adapter.gate = asyncio.Event()
    await engine.publish([email("k")])
    with capture_logs() as lines:
        relaying = asyncio.ensure_future(engine.relay.run(JobContext(once=True)))
        await until_tried(engine.adapter)  # the claim is in the database before its answer is here
        await link.shut()
        engine.adapter.gate.set()
        async with asyncio.timeout(WAIT_S):
            while sum(line["event"] == "settle.not_written" for line in lines) < 2:
                await asyncio.sleep(POLL_S)
        await link.open()
        await asyncio.gather(relaying, return_exceptions=True)
    named = [line.get("deliveries") for line in lines if line["event"] == "settle.not_written"]
    assert named == [[f"{engine.adapter.seen[0].message_id}/0"]] + [None] * (len(named) - 1)
    assert await pool.fetchval("select count(*) from postroom.delivery") == 0


async def test_what_was_claimed_is_delivered_though_the_next_question_fails(
    dsn: str, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy machine made the claim slow, so it asked what else is due; with no answer, nothing went out."""
    engine = await Engine(dsn, pool, ScriptedAdapter(), restart_pace=RestartPace(slow_claim_s=0.0)).start()
    await engine.publish([email("k")])

    async def cut(_conn: Connection, **_question: object) -> int:
        raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")

    with monkeypatch.context() as patched:
        patched.setattr(store, "count_due", cut)
        with pytest.raises(DATABASE_FAILURES):  # of the claim after it, which found nothing
            await asyncio.wait_for(engine.drain(), 20)
    assert len(engine.adapter.seen) == 1
    assert await pool.fetchval("select count(*) from postroom.delivery") == 0


async def test_a_fault_of_ours_while_settling_ends_the_run_and_the_next_one_goes_on(
    dsn: str, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = await Engine(dsn, pool, ScriptedAdapter()).start()
    await engine.publish(email(f"k{n}") for n in range(5))

    async def broken(_conn: Connection, _ended: object) -> set[object]:
        raise TypeError("a fault of ours")

    with monkeypatch.context() as patched:
        patched.setattr(store, "settle_claims", broken)
        with pytest.raises(RuntimeError, match="settling broke"):
            await asyncio.wait_for(engine.drain(), 20)
    assert await asyncio.wait_for(engine.drain(), 20) == 5


class Forgetful(ScriptedAdapter):
    """While the first delivery is made, a standby takes over that had not followed, and knows no claim."""

    def __init__(self, pool: Pool) -> None:
        super().__init__()
        self.pool = pool

    async def deliver(self, claim: Claim) -> Answer:
        if not self.seen:
            await self.pool.execute("update postroom.delivery set worker = null, claimed_at = null")
        return await super().deliver(claim)


async def test_what_was_sent_under_a_claim_that_a_fail_over_forgot_is_in_the_log(
    dsn: str, pool: Pool
) -> None:
    adapter = Forgetful(pool)
    engine = await Engine(dsn, pool, adapter).start()
    await engine.publish([email("k")])
    await asyncio.wait_for(engine.drain(), 20)
    assert len(adapter.seen) == 2, "sent again under the same id"
    logged = await pool.fetch("select outcome, reason from postroom.attempt order by outcome")
    assert [row["outcome"] for row in logged] == ["abandoned", "delivered"]
    assert "(delivered)" in logged[0]["reason"]
