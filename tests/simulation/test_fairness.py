"""Random backlogs of random tenants: the others go first, and in the end everything has been claimed once."""

from __future__ import annotations

import random
from typing import Any

import pytest

from postroom.base.db import Pool, transaction
from postroom.outbox import store
from postroom.outbox.engine.lane_claims import LaneClaims
from postroom.outbox.lanes import Urgency
from postroom.outbox.model import Claim, Deferred, RetryLater, Wait
from postroom.outbox.policy import delivered, settle
from tests.fixtures.clock import DrivenClock
from tests.fixtures.engine import AT_ONCE, Engine, ScriptedAdapter, email

TENANTS = ("a", "a", "a", "a", "b", "b", "c", "d", "")
FREE = 40


class Run:
    """A relay's claims, step by step, with a clock that a test moves."""

    def __init__(self, engine: Engine, rng: random.Random) -> None:
        self.engine = engine
        self.rng = rng
        self.clock = DrivenClock()
        self.lanes = LaneClaims(pool=engine.pool, worker=engine.worker, channel="email", clock=self.clock)
        self.held: list[Claim] = []
        self.ended: list[store.OrderedBy] = []
        self.order: dict[str, list[int]] = {}

    async def publish(self, tenant: str, count: int, *, late: bool, **more: Any) -> None:
        ids = await self.engine.publish(email(tenant=tenant, **more) for _ in range(count))
        if late:
            await self.engine.pool.execute(
                "update postroom.delivery set due_at = due_at - interval '1 min' where message_id = any ($1)",
                ids,
            )

    async def claim(self) -> list[Claim]:
        """What one step of a relay claims; never more than a few above what is free."""
        self.clock.advance(self.rng.choice([0.01, 0.2, 6.0]))
        ended, self.ended = self.ended[: FREE // 2], self.ended[FREE // 2 :]
        claims = await self.lanes.claim(FREE, bulk_free=30, ended=ended)
        assert len(claims) <= FREE + 4
        self.held += claims
        return claims

    async def settle(self, count: int) -> None:
        """Most are delivered; some are tried again, or put off."""
        self.rng.shuffle(self.held)
        chosen, self.held = self.held[:count], self.held[count:]
        outcomes = self.rng.choices(
            [None, RetryLater("busy"), Deferred(Wait.DESTINATION_FULL, "full", 0.0)], [8, 1, 1], k=len(chosen)
        )
        ends = [
            (
                claim,
                delivered()
                if outcome is None or claim.attempts
                else settle(outcome, attempts=claim.attempts, backoff=AT_ONCE, jitter=0.5),
                1,
            )
            for claim, outcome in zip(chosen, outcomes, strict=True)
        ]
        async with transaction(self.engine.pool) as conn:
            assert not await store.settle_claims(conn, ends)
        for claim, settlement, _ in ends:
            if claim.ordering_key and settlement.verdict == delivered().verdict:
                self.order.setdefault(claim.ordering_key, []).append(claim.seq)
                self.ended.append((claim.ordering_key, claim.destination))


@pytest.mark.parametrize("seed", range(3))
async def test_whoever_crowds_all_is_claimed_and_in_its_order(dsn: str, pool: Pool, seed: int) -> None:
    rng = random.Random(seed)
    run = Run(await Engine(dsn, pool, ScriptedAdapter()).start(), rng)
    published = 0
    for _ in range(60):
        if rng.random() < 0.6:
            count = rng.choice([1, 5, 300])
            published += count
            key = rng.choice([None, None, "k1", "k2"])
            urgency = rng.choice([None, None, *Urgency])
            await run.publish(
                rng.choice(TENANTS),
                count,
                late=rng.random() < 0.7,
                ordering_key=key and f"{key}{urgency}",
                urgency=urgency,
            )
        await run.claim()
        await run.settle(rng.randrange(2 * FREE))
    empty = 0
    while empty < 5:
        claims = await run.claim()
        await run.settle(len(run.held))
        empty = 0 if claims else empty + 1
    assert published > 1_000
    assert await pool.fetchval("select count(*) from postroom.delivery") == 0
    assert all(seqs == sorted(seqs) for seqs in run.order.values())


async def test_what_is_published_beside_a_backlog_is_in_the_next_claim(dsn: str, pool: Pool) -> None:
    rng = random.Random(1)
    run = Run(await Engine(dsn, pool, ScriptedAdapter()).start(), rng)
    for tenant in ("a", "b", "a"):
        await run.publish(tenant, 1_000, late=True)
    while not any(claim.crowds and claim.tenant == "b" for claim in await run.claim()):
        pass
    for _ in range(30):
        await run.publish("c", 1, late=False)
        run.clock.advance(0.2)
        [first, *rest] = await run.claim()
        assert (first.tenant, first.crowds) == ("c", False)
        assert {claim.tenant for claim in rest} <= {"a", "b"}
        assert all(claim.crowds for claim in rest)
