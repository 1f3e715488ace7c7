"""Two more databases beside a test's own, and a directory of all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from uuid import uuid4

import pytest

from postroom.admin.audit import Actor
from postroom.base.clock import SystemClock
from postroom.base.db import Pool, connect, open_pool
from postroom.ledgers.founding import add_ledgers
from postroom.ledgers.mover import Mover
from postroom.ledgers.store import DatabaseLedger
from postroom.postgres.database import create_database, drop_database
from tests.conftest import ledger_drift, on_database
from tests.fixtures.roles import as_role

ACTOR = Actor("test")


@pytest.fixture
async def dsns(server_dsn: str, template: str) -> AsyncIterator[dict[str, str]]:
    """Three ledgers that are in no directory yet. After the test each must add up."""
    names = {ledger: f"test_{uuid4().hex[:12]}" for ledger in ("l1", "l2", "l3")}
    for name in names.values():
        await create_database(server_dsn, name, template=template)
    found = {ledger: on_database(server_dsn, name) for ledger, name in names.items()}
    yield found
    drifts = [await ledger_drift(dsn) for dsn in found.values()]
    for name in names.values():
        await drop_database(server_dsn, name)
    assert drifts == [0, 0, 0]


@pytest.fixture
async def pools(dsns: Mapping[str, str]) -> AsyncIterator[dict[str, Pool]]:
    async with AsyncExitStack() as stack:
        pools = {ledger: await open_pool(dsn, connections_max=4) for ledger, dsn in dsns.items()}
        for pool in pools.values():
            stack.push_async_callback(pool.close)
        yield pools


@pytest.fixture
async def directory(dsns: Mapping[str, str], pools: Mapping[str, Pool]) -> None:
    """All slots are of l1; the others have the tenants that are moved to them."""
    await pools["l1"].execute("select postroom.publish('email', '{\"to\": \"first\"}')")
    await found(dsns)


@pytest.fixture
async def stores(dsns: Mapping[str, str], directory: None) -> AsyncIterator[dict[str, DatabaseLedger]]:
    async with AsyncExitStack() as stack:
        stores = {}
        for name, dsn in dsns.items():
            conn = await connect(as_role(dsn, "api"))
            stack.push_async_callback(conn.close)
            stores[name] = DatabaseLedger(name, conn, actor=ACTOR)
        yield stores


def mover(
    stores: Mapping[str, DatabaseLedger], source: str, target: str, wait_s: float = 0.0, tenant: str = "acme"
) -> Mover:
    others = [each for name, each in stores.items() if name not in (source, target)]
    return Mover(
        tenant,
        source=stores[source],
        target=stores[target],
        others=others,
        clock=SystemClock(),
        sleep=asyncio.sleep,
        wait_s=wait_s,
    )


async def end_all(pool: Pool) -> None:
    """As the engine would: what waited is cancelled, and counted."""
    await pool.execute(
        "with gone as (delete from postroom.delivery where state not like 'held%' returning channel) "
        "insert into postroom.tally as t (name, label, shard, value) "
        "select 'ended', channel || '/cancelled', 0, count(*) from gone group by channel "
        "on conflict (name, label, shard) do update set value = t.value + excluded.value"
    )


async def found(dsns: Mapping[str, str], wait_s: float = 30.0) -> list[str]:
    async with AsyncExitStack() as stack:
        conns = {}
        for ledger, dsn in dsns.items():
            conns[ledger] = await connect(as_role(dsn, "api"))
            stack.push_async_callback(conns[ledger].close)
        weights = {"l1": 1, "l2": 1, "l3": 2}
        return (await add_ledgers(conns, weights, actor=ACTOR, wait_s=wait_s)).new
