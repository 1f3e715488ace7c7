"""Publishing once in a while, or the last one only: in the publisher's transaction, and against others."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from postroom.base.db import Connection, Pool, transaction
from postroom.base.settings import RetentionSettings
from postroom.encryption.keyring import keyring_of
from postroom.outbox.ledger.retention import retention_job
from postroom.outbox.model import Channel, Message
from postroom.outbox.publish import publish_many
from postroom.worker.model import JobContext
from tests.fixtures.encryption import NEW, keys
from tests.fixtures.engine import AdapterEngine, ScriptedAdapter

UNIQUE = (
    "select id, result from postroom.publish_unique('task', $1::jsonb, $2, $3, $4, $5, tenant => $6,"
    " deliver_at => $7)"
)


@pytest.fixture
async def engine(dsn: str, pool: Pool) -> AdapterEngine:
    return await AdapterEngine(dsn, pool, ScriptedAdapter(channel=Channel.TASK)).start()


async def once(
    conn: Connection | Pool,
    number: int,
    *,
    key: str = "k",
    unique_for_s: float | None = None,
    replace: bool = False,
    throttle_s: float | None = None,
    tenant: str | None = None,
    deliver_at: Any = None,
) -> tuple[UUID, str]:
    payload = json.dumps({"task": "t", "args": {"n": number}})
    row = await conn.fetchrow(UNIQUE, payload, key, unique_for_s, replace, throttle_s, tenant, deliver_at)
    assert row is not None
    return row["id"], row["result"]


async def results(conn: Connection | Pool, count: int, **how: Any) -> list[str]:
    return [(await once(conn, number, **how))[1] for number in range(count)]


async def waiting(pool: Pool) -> list[tuple[int, float]]:
    """The numbers that wait, and in how many seconds they are due."""
    rows = await pool.fetch(
        "select payload #>> '{args,n}' as n, extract(epoch from due_at - now())::float8 as due_s"
        " from postroom.delivery d join postroom.message m on m.id = d.message_id order by due_at"
    )
    return [(int(row["n"]), row["due_s"]) for row in rows]


async def travel(pool: Pool, seconds: float) -> None:
    await pool.execute("update postroom.unique_key set until = until - make_interval(secs => $1)", seconds)


async def test_it_is_published_once_in_its_window_for_each_channel_tenant_and_key(pool: Pool) -> None:
    first, result = await once(pool, 1, unique_for_s=60)
    assert result == "published"
    assert await once(pool, 2, unique_for_s=60) == (first, "skipped")
    assert (await once(pool, 3, unique_for_s=60, tenant="acme"))[1] == "published"
    assert (await once(pool, 4, unique_for_s=60, key="other"))[1] == "published"
    await travel(pool, 61)
    assert (await once(pool, 5, unique_for_s=60))[1] == "published"
    assert [number for number, _ in await waiting(pool)] == [1, 3, 4, 5]


async def test_the_last_one_replaces_what_waits_and_has_its_place(pool: Pool) -> None:
    first, _ = await once(pool, 1, replace=True)
    await pool.execute("update postroom.delivery set due_at = due_at - interval '100 s'")
    second, result = await once(pool, 2, replace=True)
    assert (result, second != first) == ("replaced", True)
    [(number, due_s)] = await waiting(pool)
    assert (number, due_s < -99) == (2, True)
    reason = await pool.fetchval("select reason from postroom.attempt where message_id = $1", first)
    assert reason == "a later one of its key takes its place"


async def test_each_later_one_puts_it_off_where_it_names_a_time(pool: Pool) -> None:
    soon = await pool.fetchval("select now() + interval '30 s'")
    later = await pool.fetchval("select now() + interval '90 s'")
    await once(pool, 1, replace=True, deliver_at=soon)
    await once(pool, 2, replace=True, deliver_at=later)
    [(number, due_s)] = await waiting(pool)
    assert (number, 80 < due_s <= 90) == (2, True)


async def test_one_that_is_claimed_is_not_replaced_and_a_new_one_follows(engine: AdapterEngine) -> None:
    await once(engine.pool, 1, replace=True)
    [claim] = await engine.claim()
    assert (await once(engine.pool, 2, replace=True))[1] == "published"
    assert (await once(engine.pool, 3, replace=True))[1] == "replaced"
    assert [number for number, _ in await waiting(engine.pool)] == [1, 3]
    assert claim.body()["args"] == {"n": 1}


async def test_a_replacement_that_is_not_committed_yet_keeps_it_from_being_claimed(
    engine: AdapterEngine,
) -> None:
    await once(engine.pool, 1, replace=True)
    async with engine.pool.acquire() as conn:
        work = conn.transaction()
        await work.start()
        await once(conn, 2, replace=True)
        assert await engine.claim() == []
        await work.rollback()
    [claim] = await engine.claim()
    assert claim.body()["args"] == {"n": 1}


async def test_a_claim_that_is_not_committed_yet_is_waited_for_and_nothing_is_lost(
    engine: AdapterEngine,
) -> None:
    await once(engine.pool, 1, replace=True)
    async with engine.pool.acquire() as conn:
        async with conn.transaction():
            await conn.execute("update postroom.delivery set worker = 1, claimed_at = now(), claim_no = 1")
            replacing = asyncio.create_task(once(engine.pool, 2, replace=True))
            await until_somebody_waits(engine.pool)
        assert (await replacing)[1] == "published"
    assert [number for number, _ in await waiting(engine.pool)] == [1, 2]


@pytest.mark.parametrize(
    ("how", "expected"), [({"unique_for_s": 60}, "skipped"), ({"replace": True}, "replaced")]
)
async def test_of_two_open_transactions_the_second_waits_for_the_first(
    pool: Pool, how: dict[str, Any], expected: str
) -> None:
    async with pool.acquire() as conn:
        async with conn.transaction():
            await once(conn, 1, **how)
            second = asyncio.create_task(once(pool, 2, **how))
            await until_somebody_waits(pool)
        assert (await second)[1] == expected


async def test_what_was_rolled_back_keeps_nobody_out(pool: Pool) -> None:
    async with pool.acquire() as conn:
        work = conn.transaction()
        await work.start()
        await once(conn, 1, unique_for_s=60)
        await work.rollback()
    assert (await once(pool, 2, unique_for_s=60))[1] == "published"


async def test_settling_does_not_wait_for_a_transaction_that_has_replaced(engine: AdapterEngine) -> None:
    """Both count what has ended."""
    await once(engine.pool, 1, replace=True)
    async with engine.pool.acquire() as conn, conn.transaction():
        await once(conn, 2, replace=True)
        await engine.publish([Message(channel="task", payload={"task": "t"}) for _ in range(3)])
        async with asyncio.timeout(10):
            assert await engine.drain() == 3
        async with transaction(engine.pool) as other, asyncio.timeout(10):
            await once(other, 3, key="another", replace=True)
            await once(other, 4, key="another", replace=True)


async def test_of_a_throttled_key_the_first_goes_at_once_and_the_last_of_each_window_at_its_end(
    engine: AdapterEngine,
) -> None:
    pool = engine.pool
    assert await results(pool, 1, throttle_s=60) == ["published"]
    await engine.drain()
    assert await results(pool, 3, throttle_s=60) == ["published", "replaced", "replaced"]
    [(number, due_s)] = await waiting(pool)
    assert (number, 50 < due_s <= 60) == (2, True)
    await engine.travel(60)
    await travel(pool, 60)
    await engine.drain()
    assert await results(pool, 2, throttle_s=60) == ["published", "replaced"]
    [(_, due_s)] = await waiting(pool)
    assert 50 < due_s <= 60


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({}, "takes unique_for_s, replace or both, or throttle_s"),
        ({"unique_for_s": 1, "throttle_s": 1}, "takes unique_for_s, replace or both, or throttle_s"),
        ({"unique_for_s": 0}, "between 0.001 and 31536000"),
        ({"throttle_s": float("nan")}, "between 0.001 and 31536000"),
        ({"replace": True, "key": ""}, "needs a key"),
    ],
)
async def test_what_makes_no_sense_is_refused(pool: Pool, how: dict[str, Any], told: str) -> None:
    with pytest.raises(asyncpg.InvalidParameterValueError, match=told):
        await once(pool, 1, **how)


async def test_a_publisher_with_limits_neither_replaces_nor_learns_beyond_them(pool: Pool) -> None:
    role = f"narrow_{uuid4().hex[:12]}"
    await pool.execute(f"create role {role} login; grant postroom_publisher to {role}")
    await pool.execute("insert into postroom.publisher_limit (role, channels) values ($1, '{email}')", role)
    await once(pool, 1, unique_for_s=60)
    async with pool.acquire() as conn:
        await conn.execute(f"set session authorization {role}")
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="may not publish"):
            await once(conn, 2, unique_for_s=60)
        await conn.execute("reset session authorization")
    await pool.execute(f"drop owned by {role}; drop role {role}")


async def test_from_python_it_is_encrypted_as_all_is_and_mixes_with_the_plain(pool: Pool) -> None:
    messages = [
        Message(channel="task", payload={"task": "t", "args": {"n": 1}}, key="b", unique_for_s=60.0),
        Message(channel="task", payload={"task": "t"}, key="plain"),
        Message(channel="task", payload={"task": "t", "args": {"n": 2}}, key="a", replace=True),
        Message(channel="task", payload={"task": "t", "args": {"n": 3}}, key="b", unique_for_s=60.0),
    ]
    async with transaction(pool) as conn:
        made = await publish_many(conn, messages, keyring=keyring_of(keys(NEW)))
    assert [each.result for each in made] == ["published", None, "published", "skipped"]
    assert made[3].id == made[0].id
    payloads = await pool.fetch("select payload ->> '$' as sealed from postroom.message")
    assert len(payloads) == 3
    assert all(row["sealed"].startswith("sealed:1:") for row in payloads)
    # A limit of a task is one of its destination, which is read before the payload is encrypted.
    assert await pool.fetchval("select array_agg(distinct destination) from postroom.delivery") == ["t"]


async def test_retention_forgets_keys_whose_window_is_over(engine: AdapterEngine) -> None:
    pool = engine.pool
    await once(pool, 1, unique_for_s=60, key="over")
    await once(pool, 2, unique_for_s=100_000, key="open")
    await engine.drain()
    await once(pool, 3, replace=True, key="waits")
    await travel(pool, 10_000)
    await retention_job(pool=pool, keep=RetentionSettings()).run(JobContext(once=True))
    kept = await pool.fetch("select key from postroom.unique_key order by key")
    assert [row["key"] for row in kept] == ["open", "waits"]


async def until_somebody_waits(pool: Pool) -> None:
    async with asyncio.timeout(10):
        while not await pool.fetchval(
            "select count(*) from pg_stat_activity"
            " where datname = current_database() and wait_event_type = 'Lock'"
        ):
            await asyncio.sleep(0.01)
