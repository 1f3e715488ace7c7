"""The real store, driven step by step from synchronous rules."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from postroom.base.db import Pool, open_pool, transaction
from postroom.outbox import store
from postroom.outbox.cursor import START
from postroom.outbox.engine.expirer import Ages, Expirer
from postroom.outbox.engine.rescuer import Rescuer
from postroom.outbox.lanes import LANES, Urgency
from postroom.outbox.ledger.balance import fetch_balance
from postroom.outbox.ledger.dead_letters import DeadLetterFilter
from postroom.outbox.ledger.replay import replay_dead_letters
from postroom.outbox.model import Channel, Claim, Outcome
from postroom.outbox.policy import left_s
from postroom.outbox.publish import publish_many
from postroom.worker import store as workers
from postroom.worker.heartbeat import Worker
from tests.fixtures.engine import TRAVEL, email
from tests.simulation.machine import BACKOFF, TTL_S
from tests.simulation.model import NEVER, Held, Key, Ledger

Value = TypeVar("Value")
EMPTY = (
    "truncate postroom.message, postroom.delivery, postroom.dead_letter, postroom.attempt cascade",
    "truncate postroom.expiring",
    "truncate postroom.worker, postroom.claim_batch, postroom.limit_place",
    "delete from postroom.tally where name in ('ended', 'expired')",
    "update postroom.ledger_fold set published = 0, xid = 0",
)


class As(Worker):
    """A worker of the rescuer's, of which only the id is needed."""

    def __init__(self, id_: int) -> None:
        self._id = id_


class PostgresStore:
    """One example's ledger, empty at the start. The database's clock stands still within a rule: time
    passes by moving rows into the past, and what is due \"now\" is due a moment ago."""

    def __init__(self, dsn: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._pool: Pool = self._run(open_pool(dsn, connections_max=2))
        self._ids: dict[Key, Any] = {}
        self._claims: dict[Held, Claim] = {}
        for statement in EMPTY:
            self._run(self._pool.execute(statement))

    def close(self) -> None:
        self._run(self._pool.close())
        self._loop.close()

    def register(self) -> int:
        async def insert(conn: Any) -> int:
            return await workers.insert_worker(conn, host="h", pid=1, role="test", version="0")

        return self._within(insert)

    def publish(
        self,
        key: Key,
        *,
        ordering_key: str | None,
        due_in_s: float,
        expires_in_s: float,
        urgency: Urgency,
        tenant: str,
    ) -> None:
        async def publish(conn: Any) -> Any:
            expires_at = None
            if expires_in_s < NEVER:
                now = await conn.fetchval("select now()")
                expires_at = now + timedelta(seconds=expires_in_s)
            message = email(
                key, ordering_key=ordering_key, expires_at=expires_at, urgency=urgency, tenant=tenant
            )
            [published] = await publish_many(conn, [message])
            await conn.execute(
                "update postroom.delivery set due_at = now() + $2 * interval '1 s' where message_id = $1",
                published.id,
                due_in_s,
            )
            return published.id

        self._ids[key] = self._within(publish)

    def claim(self, worker: int, limit: int, around: Sequence[str]) -> Sequence[Held]:
        async def claim(conn: Any) -> list[Claim]:
            found: list[Claim] = []
            for lane in LANES.values():
                most: Any = {"channel": "email", "worker": worker, "first_max": limit, "retry_max": limit}
                if around:
                    found += await store.claim_around(
                        conn, **most, lane=lane, tenants=around, full=(), cursor=START, scan_max=100
                    )
                else:
                    found += await store.claim_due(conn, **most, lane=lane)
            return found

        held = []
        for each in self._within(claim):
            memory = Held(each.key or "", each.worker, each.claim_no, each.attempts, left_s(each, NEVER))
            self._claims[memory] = each
            held.append(memory)
        return held

    def settle(self, ended: Sequence[tuple[Held, Outcome]]) -> set[Key]:
        batch = [(self._claims[held], held.ends(outcome, BACKOFF), 1) for held, outcome in ended]

        async def write(conn: Any) -> set[Any]:
            return {message_id for message_id, _ in await store.settle_claims(conn, batch)}

        lost = self._within(write)
        return {held.key for held, _ in ended if self._ids[held.key] not in lost}

    def beat(self, worker: int) -> bool:
        async def beat(conn: Any) -> bool:
            return await workers.mark_beat(conn, worker=worker, jobs=[])

        return self._within(beat)

    def rescue(self, worker: int) -> int:
        rescuer = Rescuer(
            pool=self._pool,
            worker=As(worker),
            backoffs=dict.fromkeys(Channel, BACKOFF),
        )
        return self._run(rescuer.rescue(ttl_s=TTL_S))

    def sweep(self, worker: int) -> int:
        year = timedelta(days=365)
        expirer = Expirer(pool=self._pool, worker=As(worker), ages=Ages({Channel.EMAIL: year}, parked=year))
        return self._run(expirer.sweep())

    def replay(self, key: Key) -> bool:
        async def replay(conn: Any) -> int:
            wanted = DeadLetterFilter(message_ids=(self._ids[key],))
            return (await replay_dead_letters(conn, wanted, actor="test", limit=1)).count

        return self._within(replay) == 1

    def cancel(self, key: Key) -> bool:
        async def cancel(conn: Any) -> int:
            return await store.cancel_message(conn, message_id=self._ids[key])

        return self._within(cancel) == 1

    def resume(self) -> None:
        self._run(
            self._pool.execute(
                "update postroom.delivery set due_at = now() where due_at = 'infinity' and worker is null"
            )
        )

    def travel(self, seconds: float) -> None:
        async def travel(conn: Any) -> None:
            for statement in TRAVEL:
                await conn.execute(statement, seconds)

        self._within(travel)

    def check(self, ledger: Ledger) -> None:
        """Every open delivery and every letter as the model has it, and both sides of the ledger even."""

        async def read() -> tuple[list[Any], list[Any], int, int]:
            async with self._pool.acquire() as conn, conn.transaction(isolation="repeatable_read"):
                rows = await conn.fetch(
                    "select m.key, d.state, d.attempts, d.worker, d.claim_no, d.tenant"
                    " from postroom.delivery d join postroom.message m on m.id = d.message_id"
                )
                dead = await conn.fetch(
                    "select m.key, d.attempts, d.cause = 'expired' from postroom.dead_letter d"
                    " join postroom.message m on m.id = d.message_id"
                )
                expired = await conn.fetchval(
                    "select coalesce(sum(value), 0) from postroom.tally where name = 'expired'"
                )
                return rows, dead, expired, (await fetch_balance(conn)).drift

        rows, dead, expired, drift = self._run(read())
        assert {tuple(row) for row in rows} == {
            (each.key, each.state, each.attempts, each.worker, each.claim_no, each.tenant)
            for each in ledger.open.values()
        }
        assert {tuple(row) for row in dead} == {
            (each.key, each.attempts, each.expired) for each in ledger.dead.values()
        }
        assert (expired, drift) == (ledger.expired, 0)

    def _within(self, work: Callable[[Any], Coroutine[Any, Any, Value]]) -> Value:
        async def run() -> Value:
            async with transaction(self._pool) as conn:
                return await work(conn)

        return self._run(run())

    def _run(self, step: Coroutine[Any, Any, Value]) -> Value:
        return self._loop.run_until_complete(step)
