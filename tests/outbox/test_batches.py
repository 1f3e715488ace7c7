"""Batches: what follows runs once, when all of one has ended, however many settle it at once."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from postroom.admin.audit import Actor
from postroom.admin.messages import cancel
from postroom.base.db import Connection, Pool, transaction
from postroom.outbox import store
from postroom.outbox.engine.lane_claims import LaneClaims
from postroom.outbox.ledger.replay import replay_one
from postroom.outbox.model import Answer, Cause, Channel, Claim, Delivered, Rejected
from postroom.outbox.policy import Settlement, Verdict, delivered
from tests.fixtures.engine import Engine, ScriptedAdapter

DEAD = Settlement(Verdict.DEAD, "rejected", reason="gone", cause=Cause.PERMANENT)
FOLLOWS = {"channel": "task", "payload": {"task": "report"}}


def answer(claim: Claim) -> Answer:
    return Rejected("gone") if claim.body()["task"] == "dies" else Delivered()


@pytest.fixture
async def engine(dsn: str, pool: Pool) -> Engine:
    return await Engine(dsn, pool, ScriptedAdapter(answer, Channel.TASK)).start()


async def batch(
    conn: Connection | Pool, *tasks: str, on: str = "end", key: str | None = None, then: Any = FOLLOWS
) -> UUID | None:
    messages = [
        {"channel": "task", "payload": {"task": task}, **({"key": f"{key}{nr}"} if key else {})}
        for nr, task in enumerate(tasks)
    ]
    rows = await conn.fetch(
        "select * from postroom.publish_batch($1::jsonb, $2::jsonb, $3)",
        json.dumps(messages), json.dumps(then), on,
    )  # fmt: skip
    assert [row["position"] for row in rows] == list(range(1, len(tasks) + 1))
    follower: UUID | None = rows[0]["batch"]
    return follower


async def counts(pool: Pool, follower: UUID | None) -> tuple[int, ...]:
    row = await pool.fetchrow(
        "select size, delivered, dead, cancelled from postroom.batch where message_id = $1", follower
    )
    assert row is not None
    return tuple(row)


async def outcome(pool: Pool, message_id: UUID | None) -> list[str]:
    rows = await pool.fetch(
        "select outcome from postroom.attempt where message_id = $1 order by ended_at", message_id
    )
    return [row["outcome"] for row in rows]


async def test_what_follows_runs_once_when_all_have_ended_also_where_some_died(engine: Engine) -> None:
    follower = await batch(engine.pool, "a", "dies", "b")
    reason = await engine.pool.fetchval(
        "select last_reason from postroom.delivery where message_id = $1", follower
    )
    assert reason == "waits for a batch of 3"
    await engine.drain()
    assert await counts(engine.pool, follower) == (3, 2, 1, 0)
    assert await outcome(engine.pool, follower) == ["delivered"]


@pytest.mark.parametrize(("tasks", "ends"), [(("a", "b"), "delivered"), (("a", "dies"), "cancelled")])
async def test_on_success_it_is_cancelled_unless_all_were_delivered(
    engine: Engine, tasks: tuple[str, ...], ends: str
) -> None:
    follower = await batch(engine.pool, *tasks, on="success")
    await engine.drain()
    assert await outcome(engine.pool, follower) == [ends]


async def test_a_replay_is_counted_no_more(engine: Engine) -> None:
    """A dead letter has ended: what follows does not wait for a person, and runs once."""
    follower = await batch(engine.pool, "dies", "a")
    [dead, _] = await engine.pool.fetch("select message_id from postroom.delivery where batch is not null")
    await engine.drain()
    engine.adapter.answer = lambda _: Delivered()
    async with transaction(engine.pool) as conn:
        await replay_one(conn, dead["message_id"], actor="ada")
    await engine.drain()
    assert await outcome(engine.pool, dead["message_id"]) == ["rejected", "replayed", "delivered"]
    assert await counts(engine.pool, follower) == (2, 1, 1, 0)
    assert await outcome(engine.pool, follower) == ["delivered"]


async def test_what_is_cancelled_has_ended_too(engine: Engine) -> None:
    follower = await batch(engine.pool, "a", "b")
    [first, _] = await engine.pool.fetch("select message_id from postroom.delivery where batch is not null")
    async with transaction(engine.pool) as conn:
        await cancel(conn, first["message_id"], actor=Actor("ada"))
    await engine.drain()
    assert await counts(engine.pool, follower) == (2, 1, 0, 1)
    assert await outcome(engine.pool, follower) == ["delivered"]


async def test_what_is_known_already_is_no_part_of_it(engine: Engine) -> None:
    """A caller that does not know whether its commit came through publishes it again."""
    follower = await batch(engine.pool, "a", "b", key="k")
    assert await batch(engine.pool, "a", "b", key="k") is None
    third = await batch(engine.pool, "a", "b", "c", key="k")
    await engine.drain()
    assert await counts(engine.pool, follower) == (2, 2, 0, 0)
    assert await counts(engine.pool, third) == (1, 1, 0, 0)


async def test_a_webhook_counts_its_deliveries_and_nobody_listening_is_no_reason_to_wait(
    engine: Engine,
) -> None:
    webhook = {"channel": "webhook", "tenant": "acme", "type": "paid", "payload": {"data": {}}}
    row = await engine.pool.fetchrow(
        "select * from postroom.publish_batch($1::jsonb, $2::jsonb)",
        json.dumps([webhook]),
        json.dumps(FOLLOWS),
    )
    assert row is not None
    await engine.drain()
    assert await counts(engine.pool, row["batch"]) == (0, 0, 0, 0)
    assert await outcome(engine.pool, row["batch"]) == ["delivered"]


@pytest.mark.parametrize(
    ("tasks", "how", "told"),
    [
        ((), {}, "a batch is a JSON array of one message or more"),
        (("a",), {"on": "often"}, "follow_on is end or success, not 'often'"),
        (("a",), {"then": {**FOLLOWS, "channel": "email"}}, "what follows a batch is a task"),
        (("a",), {"then": {**FOLLOWS, "key": "k"}}, "without key, deliver_at and ordering_key"),
    ],
)
async def test_what_makes_no_sense_is_refused(
    pool: Pool, tasks: tuple[str, ...], how: dict[str, Any], told: str
) -> None:
    with pytest.raises(asyncpg.InvalidParameterValueError, match=told):
        await batch(pool, *tasks, **how)


async def test_of_many_that_settle_several_batches_at_once_one_ends_each(engine: Engine) -> None:
    """In every order: nobody waits in a circle, nothing is counted twice, what follows is due once."""
    seed = random.randrange(1_000_000)
    dice = random.Random(seed)
    followers = [await batch(engine.pool, *["a"] * 30) for _ in range(8)]
    async with asyncio.timeout(60):
        claims: list[Claim] = []
        while more := await engine.claim(100):
            claims += more
        dice.shuffle(claims)
        deaths = {claim.message_id for claim in claims if dice.random() < 0.3}
        groups = [claims[place : place + 12] for place in range(0, len(claims), 12)]

        async def settle(group: list[Claim]) -> None:
            ended = [(claim, DEAD if claim.message_id in deaths else delivered(), 1) for claim in group]
            async with engine.runner.acquire() as conn:
                assert await store.settle_claims(conn, ended) == set()

        await asyncio.gather(*(settle(group) for group in groups))
    ended = [await counts(engine.pool, follower) for follower in followers]
    assert [(size, done + dead) for size, done, dead, _ in ended] == [(30, 30)] * 8, f"seed {seed}"
    assert sum(dead for _, _, dead, _ in ended) == len(deaths)
    due = await engine.pool.fetchval("select count(*) from postroom.delivery where due_at <= now()")
    assert due == 8


async def test_a_drain_runs_what_follows_though_its_last_claim_found_nothing_before(
    engine: Engine, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That claim asked while the batch was under way, and hears nothing is due when all has ended."""
    engine.adapter.gate = asyncio.Event()
    claim = LaneClaims.claim

    async def answered_late(lanes: LaneClaims, *args: Any, **options: Any) -> list[Claim]:
        claims = await claim(lanes, *args, **options)
        if not claims and engine.adapter.gate is not None:
            engine.adapter.gate.set()
            while await pool.fetchval("select count(*) from postroom.delivery") == 2:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)  # until the settler knows it, too
        return claims

    monkeypatch.setattr(LaneClaims, "claim", answered_late)
    follower = await batch(pool, "one")
    await engine.drain()
    assert await counts(pool, follower) == (1, 1, 0, 0)
    assert await outcome(pool, follower) == ["delivered"]
