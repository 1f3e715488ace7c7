"""Row about a dead destination: 60 days of it, each driven in a moment, and what is kept of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from bench.engine import Engine
from bench.report import Report
from bench.stage import Stage, execute
from postroom.base.db import Pool, open_pool, query
from postroom.base.json import encode
from postroom.outbox.cursor import START
from postroom.outbox.engine.expirer import Ages, Expirer
from postroom.outbox.lanes import NORMAL
from postroom.outbox.model import Answer, Channel, Claim, RetryLater
from postroom.resilience.breaker import Trip

DAYS: Final = 60
STEADY_DAY: Final = 10
"""By then as much dies of age in a day as comes in, and the table has room for what waits."""
A_DAY: Final = 500
AGE: Final = timedelta(days=5)
CLAIM: Final = query("postroom.outbox", "claim_due") + query("postroom.outbox", "claim_locked")
PUBLISH: Final = "select count(*) from postroom.publish_many($1::text::jsonb)"
NEXT_DAY: Final = """
update postroom.message m set created_at = m.created_at - interval '1 day'
from postroom.delivery d where d.message_id = m.id;
update postroom.delivery d set due_at = d.due_at - interval '1 day', since = d.since - interval '1 day',
    message_id = (left(postroom.first_id_at(m.created_at)::text, 13) || substr(m.id::text, 14))::uuid
from postroom.message m where m.id = d.message_id;
update postroom.message m
set id = (left(postroom.first_id_at(m.created_at)::text, 13) || substr(m.id::text, 14))::uuid
where m.created_at < now() - interval '12 hours' and m.id > postroom.first_id_at(m.created_at + interval '12 hours');
update postroom.circuit set retry_at = retry_at - interval '1 day';
"""  # noqa: E501
"""All that waits is a day older; an id holds its time, too."""


class DeadReceiver:
    """Never answers, and has a breaker of its own, as a webhook's receiver has."""

    channel = Channel.WEBHOOK
    circuit: str | None = None
    concurrency_max = 200
    per_destination_max = 200
    timeout_s = 30.0

    async def deliver(self, _claim: Claim) -> Answer:
        return RetryLater("nobody answers", trip=Trip.STRIKE)

    def check(self, payload: dict[str, Any]) -> None:
        """Everything can be sent."""

    async def start(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close."""


@dataclass(frozen=True, slots=True)
class Kept:
    """At the end of a day. `claim_blocks`: what a claim of 200 reads in the morning, with all of it due."""

    waiting: int
    table_bytes: int
    claim_blocks: int

    def over(self, other: Kept) -> float:
        return max(
            self.waiting / other.waiting,
            self.table_bytes / other.table_bytes,
            self.claim_blocks / other.claim_blocks,
        )


async def measure_expired(stage: Stage, report: Report) -> None:
    """`expired_flat`: the worst of queue, table and cost of a claim on day 60, over day 10."""
    dsn = await stage.database()
    pool = await open_pool(dsn)
    engine = Engine(dsn, pool, DeadReceiver(), age_max_s=AGE.total_seconds())
    await engine.start()
    expirer = Expirer(pool=pool, worker=engine.worker, ages=Ages({Channel.WEBHOOK: AGE}, parked=AGE))
    early = kept = Kept(1, 1, 1)
    for day in range(1, DAYS + 1):
        await execute(dsn, NEXT_DAY)
        # As autovacuum does more often in a day.
        await execute(dsn, "vacuum postroom.delivery")
        claim_blocks = await _claim_blocks(pool)
        await _publish(pool, day)
        await engine.drain()
        await expirer.sweep()
        waiting, table_bytes = await pool.fetchrow(
            "select count(*), pg_total_relation_size('postroom.delivery') from postroom.delivery"
        ) or (0, 0)
        kept = Kept(waiting, table_bytes, claim_blocks)
        early = kept if day == STEADY_DAY else early
    note = (
        f"{kept.waiting:,} wait, {kept.table_bytes / 1e6:.1f} MB, a claim reads {kept.claim_blocks:,} blocks"
    )
    report.put("expired_flat", kept.over(early), note=note)
    await pool.close()
    await stage.drop(dsn)


async def _publish(pool: Pool, day: int) -> None:
    payload = {"url": "https://dead.example/", "type": "t", "data": {}}
    messages = [{"channel": "webhook", "key": f"{day}:{n}", "payload": payload} for n in range(A_DAY)]
    await pool.execute(PUBLISH, encode(messages))


async def _claim_blocks(pool: Pool) -> int:
    async with pool.acquire() as conn:
        trial = conn.transaction()
        await trial.start()
        plan = await conn.fetchval(
            f"explain (analyze, buffers, timing off, format json) {CLAIM}",
            *(Channel.WEBHOOK, 1, 100, 100, *START.first, *START.retry, *NORMAL),
        )
        await trial.rollback()
    top = json.loads(plan)[0]["Plan"]
    return int(top["Shared Hit Blocks"] + top["Shared Read Blocks"])
