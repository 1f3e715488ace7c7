"""A tenant's move between real databases: its keys, what belongs to it, and whoever is in the way."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg
import pytest

from postroom.base.db import Pool, connect
from postroom.base.errors import Conflict, Unavailable
from postroom.ledgers.directory import newest, read_directory, slot_of
from postroom.ledgers.founding import share_slots
from postroom.ledgers.model import Busy, Stage
from postroom.ledgers.mover import StillOpen
from postroom.ledgers.store import DatabaseLedger
from tests.fixtures.roles import as_role
from tests.ledgers.conftest import ACTOR, end_all, found, mover

MANY: Final = "select id, published from postroom.publish_many($1::text::jsonb)"
ELSEWHERE: Final = "at the ledger"


def mail(key: str | None = None, **more: Any) -> dict[str, Any]:
    return {"channel": "email", "payload": {"to": "a@b.example"}, "tenant": "acme", "key": key, **more}


async def published(pool: Pool, *messages: Mapping[str, Any]) -> list[tuple[Any, bool]]:
    return [(row["id"], row["published"]) for row in await pool.fetch(MANY, json.dumps(messages))]


async def states(pool: Pool) -> list[str]:
    rows = await pool.fetch("select state from postroom.delivery where tenant = 'acme' order by seq")
    return [row["state"] for row in rows]


def test_slots_are_shared_by_weight() -> None:
    slots = share_slots({"b": 3, "a": 1})
    assert len(slots) == 1024
    assert (slots.count("a"), slots.count("b")) == (256, 768)


async def test_the_ledger_that_is_in_use_keeps_all_tenants(
    pools: Mapping[str, Pool], directory: None
) -> None:
    copies = [await read_directory(conn) for pool in pools.values() async for conn in one(pool)]
    assert {copy.slots for copy in copies} == {("l1",) * 1024}
    assert [copy.name for copy in copies] == ["l1", "l2", "l3"]


async def one(pool: Pool) -> AsyncIterator[Any]:
    async with pool.acquire() as conn:
        yield conn


async def test_new_ledgers_share_the_slots_and_a_second_time_changes_nothing(
    dsns: Mapping[str, str], pools: Mapping[str, Pool]
) -> None:
    assert await found(dsns) == ["l1", "l2", "l3"]
    async with pools["l3"].acquire() as conn:
        copy = await read_directory(conn)
    assert [copy.slots.count(name) for name in ("l1", "l2", "l3")] == [256, 256, 512]
    assert copy.ledger_of("acme") == copy.slots[slot_of("acme")]
    assert await found(dsns) == []


async def test_a_ledger_is_ready_when_nobody_is_left_who_does_not_know_its_name(
    dsns: Mapping[str, str], pools: Mapping[str, Pool]
) -> None:
    """A transaction with an older snapshot would not see either that a tenant has left."""
    async with pools["l2"].acquire() as conn, conn.transaction(isolation="repeatable_read"):
        await conn.fetchval("select count(*) from postroom.message")
        with pytest.raises(Unavailable, match="l2: 1 transactions are open that began before this"):
            await found(dsns, wait_s=0.3)
    async with connected(dsns["l2"]) as store:
        with pytest.raises(Conflict, match="l2 is not in the directory yet"):
            await store.check_name()
        await found(dsns)
        await store.check_name()


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[DatabaseLedger]:
    conn = await connect(as_role(dsn, "api"))
    yield DatabaseLedger("l2", conn, actor=ACTOR)
    await conn.close()


async def test_a_move_takes_keys_and_belongings_along(
    stores: Mapping[str, DatabaseLedger], pools: Mapping[str, Pool]
) -> None:
    l1, l2, l3 = pools.values()
    [(first, _)] = await published(l1, mail("k1"))
    await published(l1, *(mail(f"many{n}") for n in range(200)), mail(), {**mail("k1"), "tenant": "other"})
    await l1.execute(
        "insert into postroom.endpoint (tenant, url, types, secret) values ('acme','https://x','{*}','s')"
    )
    await l1.execute("insert into postroom.suppression (address, reason) values ('x@y.example', 'bounced')")
    await l1.execute(
        "insert into postroom.unsubscribed (address, tenant, category) values ('x@y.z', 'acme', 'news')"
    )
    await l1.execute(
        "insert into postroom.delivery_limit (channel, tenant, per_second, reason, set_by) "
        "values ('email', 'acme', 5, 'r', 'me')"
    )
    await end_all(l1)
    await mover(stores, "l1", "l2").run()
    for ledger in (l1, l3):
        with pytest.raises(asyncpg.PostgresError, match="'acme' is at the ledger l2"):
            await published(ledger, mail("k2"))
    assert await published(l2, mail("k1")) == [(first, False)]
    several = await published(l2, mail("k2"), mail("many7"), {**mail("k1"), "tenant": "other"})
    assert [new for _, new in several] == [True, False, True]
    for table in ("endpoint", "suppression", "unsubscribed", "delivery_limit"):
        assert await l2.fetchval(f"select count(*) from postroom.{table}") == 1, table
    assert await states(l2) == ["pending"]
    assert (await mover(stores, "l1", "l2").look()).stage is Stage.DONE
    directory = newest([await each.fetch_directory() for each in stores.values()])
    assert (directory.ledger_of("acme"), directory.ledger_of("other")) == ("l2", "l1")
    for pool in (l1, l2):
        assert await pool.fetchval("select count(*) from postroom.audit where action = 'tenant.move'") >= 2
    await end_all(l2)
    await mover(stores, "l2", "l1").run()
    assert [new for _, new in await published(l1, mail("k2"), mail("k3"))] == [False, True]
    with pytest.raises(asyncpg.PostgresError, match="'acme' is at the ledger l1"):
        await published(l2, mail())


async def test_the_new_ledger_delivers_nothing_while_the_old_one_has_something(
    stores: Mapping[str, DatabaseLedger], pools: Mapping[str, Pool]
) -> None:
    l1, l2, _ = pools.values()
    await published(l1, mail("k1", ordering_key="o"))
    with pytest.raises(StillOpen, match=r"l1: email 1 \(0 parked\)"):
        await mover(stores, "l1", "l2").run()
    await published(l2, mail("k2", ordering_key="o"), mail("k3", urgency="urgent"))
    assert await states(l2) == ["held", "held_urgent"]
    with pytest.raises(Conflict, match="takes it already"):
        await mover(stores, "l1", "l2").abort()
    await end_all(l1)
    await mover(stores, "l1", "l2").run()
    assert await states(l2) == ["pending", "pending_urgent"]


async def test_a_transaction_that_has_published_is_waited_for(
    stores: Mapping[str, DatabaseLedger], pools: Mapping[str, Pool]
) -> None:
    l1, l2, _ = pools.values()
    async with l1.acquire() as conn, conn.transaction():
        [row] = await conn.fetch(MANY, json.dumps([mail("late")]))
        with pytest.raises(Busy, match="has published in l1"):
            await mover(stores, "l1", "l2").run()
        assert await published(l1, mail("k1"))  # nobody is refused meanwhile
    await end_all(l1)
    await mover(stores, "l1", "l2").run()
    assert await published(l2, mail("late")) == [(row["id"], False)]


async def test_a_move_is_given_up_before_and_after_the_fence(
    stores: Mapping[str, DatabaseLedger], pools: Mapping[str, Pool]
) -> None:
    l1, l2, _ = pools.values()
    one_move = mover(stores, "l1", "l2")
    await one_move.begin(await one_move.look())
    await one_move.abort()
    await published(l1, mail("k1"))
    await one_move.begin(await one_move.look())
    await one_move.copy_and_fence(await one_move.look())
    for pool in (l1, l2):
        with pytest.raises(asyncpg.PostgresError, match=ELSEWHERE):
            await published(pool, mail("k2"))
    await one_move.abort()
    assert [new for _, new in await published(l1, mail("k1"), mail("k2"))] == [False, True]
    with pytest.raises(asyncpg.PostgresError, match="at the ledger l1"):
        await published(l2, mail("k2"))
    await end_all(l1)
    await one_move.run()
    assert [new for _, new in await published(l2, mail("k1"), mail("k2"), mail("k3"))] == [False, False, True]


async def test_two_moves_of_one_tenant_never_both_end(stores: Mapping[str, DatabaseLedger]) -> None:
    one_move, other = mover(stores, "l1", "l2"), mover(stores, "l1", "l3")
    await one_move.begin(await one_move.look())
    await one_move.copy_and_fence(await one_move.look())
    with pytest.raises(Conflict, match="l1 does not have the tenant"):
        await other.run()
    seen = await one_move.look()
    await one_move.abort()
    with pytest.raises(Conflict, match="somebody else moves"):
        await one_move.open(seen)
