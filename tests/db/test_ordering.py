"""An ordering key: the next one waits until the one before has ended, however long that takes."""

from __future__ import annotations

from app.base.db import Pool, transaction
from app.outbox import store
from app.outbox.model import Claim, Delivered, Outcome, Rejected, RetryLater
from app.outbox.policy import settle
from tests.engine import Engine, ScriptedAdapter, email


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
