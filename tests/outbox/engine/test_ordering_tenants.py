"""An ordering key is its tenant's own: no tenant waits for another one's, and each one's order is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from postroom.base.db import Pool, transaction
from postroom.dev.stripe_events import snapshot_event
from postroom.outbox.ledger.resend import resend
from postroom.outbox.model import Delivered, Message, RetryLater
from postroom.outbox.publish import publish
from tests.fixtures.engine import Engine, ScriptedAdapter, email
from tests.fixtures.roles import pool_as
from tests.fixtures.stripe import Scene

AS_BEFORE = "update postroom.delivery set ordering_key = 'order:1' where ordering_key is not null"
WAITS_FOR_NOBODY = "set local lock_timeout = '1s'"


def of(tenant: str | None, key: str) -> Message:
    return email(key, tenant=tenant, ordering_key="order:1")


@pytest.mark.parametrize("beside", [0, 100])
async def test_no_tenant_waits_for_the_key_of_another(dsn: str, pool: Pool, beside: int) -> None:
    """`beside`: large batches are inserted in another way."""
    engine = await Engine(dsn, pool, ScriptedAdapter()).start()
    await engine.publish(
        [
            *(of(tenant, f"{tenant}{n}") for n in range(2) for tenant in ("acme", "globex", None)),
            *(email(f"free{n}", tenant="acme") for n in range(beside)),
        ]
    )
    engine.adapter.answer = lambda claim: RetryLater("down", 3_600) if claim.key == "acme0" else Delivered()
    await engine.drain()
    seen = [str(claim.key) for claim in engine.adapter.seen if not str(claim.key).startswith("free")]
    assert sorted(seen) == ["None0", "None1", "acme0", "globex0", "globex1"]
    assert seen.index("globex0") < seen.index("globex1")
    assert seen.index("None0") < seen.index("None1")


async def test_no_publisher_waits_for_one_of_another_tenant(pool: Pool) -> None:
    async with transaction(pool) as first, transaction(pool) as other:
        await publish(first, of("acme", "acme"))
        await other.execute(WAITS_FOR_NOBODY)
        await publish(other, of("globex", "globex"))


async def test_what_was_queued_before_keeps_its_tenants_order(dsn: str, pool: Pool) -> None:
    """Then the key stood in the queue without its tenant."""
    engine = await Engine(dsn, pool, ScriptedAdapter()).start()
    await engine.publish([of("acme", "acme0")])
    await pool.execute(AS_BEFORE)
    await engine.publish([of("acme", "acme1"), of("globex", "globex0")])
    assert [claim.key for claim in await engine.claim()] == ["acme0", "globex0"]


async def test_what_is_resent_waits_for_its_own_tenant_alone(dsn: str, pool: Pool) -> None:
    engine = await Engine(dsn, pool, ScriptedAdapter()).start()
    ids = await engine.publish([of("acme", "acme0"), of("globex", "globex0")])
    assert await engine.drain() == 2
    await engine.publish([of("acme", "acme1")])
    async with transaction(pool_as(pool, "api")) as conn:
        for message_id in ids:
            assert await resend(conn, message_id, endpoint_id=None, actor="ada") == 1
    assert sorted(str(claim.key) for claim in await engine.claim()) == ["acme1", "globex0"]


async def test_events_of_an_object_are_in_order_whoever_its_customer_becomes(
    pool: Pool, tmp_path: Path
) -> None:
    scene = Scene(pool, tmp_path)
    for customer in (None, "cus_1"):
        intent = {"id": "pi_1", "object": "payment_intent", "customer": customer}
        await scene.receive(snapshot_event("payment_intent.created", intent))
    assert len(await scene.claim()) == 1
