"""One tenant's backlog does not keep the others waiting."""

from __future__ import annotations

from postroom.base.db import Pool, transaction
from postroom.outbox import store
from postroom.outbox.cursor import START
from postroom.outbox.ledger.dead_letters import DeadLetterFilter
from postroom.outbox.ledger.replay import replay_dead_letters
from postroom.outbox.model import Rejected
from tests.fixtures.engine import Engine, ScriptedAdapter, email

MANY = """
select postroom.publish_many(jsonb_agg(jsonb_build_object(
    'channel', 'email', 'payload', '{"tenant": "paid"}'::jsonb,
    'tenant', case when n % 2 = 0 then 'told' end)))
from generate_series(1, $1) n
"""
TENANTS = "select d.tenant, count(*) from postroom.delivery d join postroom.message m on m.id = d.message_id"


async def test_every_way_to_queue_says_whose_it_is(dsn: str, pool: Pool) -> None:
    await pool.execute("select postroom.publish('email', '{\"tenant\": \"paid\"}', tenant => 'told')")
    await pool.execute("select postroom.publish('email', '{\"tenant\": \"paid\"}', ordering_key => 'k')")
    await pool.execute("select postroom.publish('email', '{}')")
    await pool.execute(MANY, 10)
    await pool.execute(MANY, 100)  # with plain inserts
    assert await pool.fetchval(f"{TENANTS} where d.tenant is distinct from m.tenant group by 1") is None
    assert dict(await pool.fetch(f"{TENANTS} group by 1")) == {"told": 56, "paid": 56, "": 1}
    engine = await Engine(dsn, pool, ScriptedAdapter(lambda _: Rejected("no such mailbox"))).start()
    await engine.drain()
    async with transaction(pool) as conn:
        assert (await replay_dead_letters(conn, DeadLetterFilter(), actor="ada", limit=200)).count == 113
    assert dict(await pool.fetch(f"{TENANTS} group by 1")) == {"told": 56, "paid": 56, "": 1}


async def test_a_claim_goes_around_tenants(dsn: str, pool: Pool) -> None:
    """What older code queued has no tenant: nobody can go around it."""
    engine = await Engine(dsn, pool, ScriptedAdapter()).start()
    for tenant, count in (("a", 20), ("b", 2), ("a", 20), ("old", 1)):
        await engine.publish(email(tenant=tenant) for _ in range(count))
    await pool.execute("update postroom.delivery set tenant = null where tenant = 'old'")
    async with transaction(pool) as conn:
        claims = await store.claim_around(
            conn, channel="email", worker=engine.worker.id, first_max=10, retry_max=1, cursor=START,
            full=[], tenants=["a"], scan_max=1_000,
        )  # fmt: skip
    assert [claim.tenant for claim in claims] == ["b", "b", "old"]
