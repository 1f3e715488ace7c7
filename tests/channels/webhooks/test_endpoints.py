"""Endpoints in a real database: fan-out, parking, resuming, rotating, deleting."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import pytest
import yarl
from pydantic import SecretStr

from postroom.base.db import Pool, transaction
from postroom.base.errors import Conflict, InvalidInput, NotFound
from postroom.channels.webhooks import deployment_secret, endpoints, store
from postroom.channels.webhooks.model import ENDPOINTS_PER_TENANT_MAX, EndpointState
from postroom.channels.webhooks.signing import generate_secret
from postroom.outbox.ledger.balance import check_ledger
from postroom.outbox.model import Message
from postroom.outbox.publish import publish

URL = "https://example.com/hooks"
DUE = "select count(*) from postroom.delivery where endpoint_id = $1 and due_at <= now()"
WAITING = "select count(*) from postroom.delivery where endpoint_id = $1 and due_at = 'infinity'"


async def created(
    pool: Pool, *, tenant: str = "acme", types: tuple[str, ...] = ("*",), url: str = URL
) -> UUID:
    async with transaction(pool) as conn:
        made = await endpoints.create_endpoint(conn, tenant=tenant, url=url, types=types)
    return made.endpoint.id


async def published(pool: Pool, *, kind: str = "invoice.paid", tenant: str = "acme") -> UUID:
    payload = {"tenant": tenant, "type": kind, "data": {}}
    async with transaction(pool) as conn:
        return (await publish(conn, Message(channel="webhook", payload=payload))).id


@pytest.mark.parametrize(
    ("patterns", "kind", "expected"),
    [
        (("*",), "invoice.paid", True),
        (("invoice.paid",), "invoice.paid", True),
        (("invoice.paid",), "invoice.paid.late", False),
        (("invoice.*",), "invoice.paid", True),
        (("invoice.*",), "invoice.paid.late", True),
        (("invoice.*",), "invoice", False),
        (("invoice.*",), "invoices.paid", False),
        (("invoice.*",), "xinvoice.paid", False),
        (("a_b.*",), "axb.c", False),
        (("customer.*", "invoice.paid"), "invoice.paid", True),
        (("customer.*", "invoice.paid"), "invoice.void", False),
        (("Invoice.*",), "invoice.paid", False),
    ],
)
async def test_a_message_goes_to_the_endpoints_that_listen_to_its_type(
    pool: Pool, patterns: tuple[str, ...], kind: str, expected: bool
) -> None:
    endpoint_id = await created(pool, types=patterns)
    await created(pool, tenant="other")
    await published(pool, kind=kind)
    reached = await pool.fetch("select endpoint_id from postroom.delivery")
    assert [row["endpoint_id"] for row in reached] == ([endpoint_id] if expected else [])


async def test_what_is_published_for_a_parked_endpoint_waits_and_is_due_after_the_resume(pool: Pool) -> None:
    endpoint_id = await created(pool)
    async with transaction(pool) as conn:
        parked = await endpoints.park(conn, endpoint_id, reason="it asked for quiet")
    assert (parked.state, parked.parked_reason) == (EndpointState.PARKED, "it asked for quiet")
    for _ in range(3):
        await published(pool)
    async with transaction(pool) as conn:
        assert (await endpoints.fetch_endpoint(conn, endpoint_id)).waiting == 3
        assert await endpoints.unpark_stragglers(conn) == 0
    async with transaction(pool) as conn:
        resumed = await endpoints.resume(conn, endpoint_id)
    assert (resumed.state, resumed.parked_reason, resumed.waiting) == (EndpointState.ENABLED, None, 0)
    assert await pool.fetchval(DUE, endpoint_id) == 3


async def test_a_resume_at_a_pace_lets_go_what_waited_bit_by_bit(pool: Pool) -> None:
    endpoint_id, other = await created(pool), await created(pool, tenant="globex")
    async with transaction(pool) as conn:
        for each in (endpoint_id, other):
            await endpoints.park(conn, each, reason="quiet")
    for _ in range(20):
        await published(pool)
        await published(pool, tenant="globex")
    async with transaction(pool) as conn:
        resumed = await endpoints.resume(conn, endpoint_id, pace_per_s=2.5)
    assert (resumed.state, resumed.waiting, resumed.release_pace) == (EndpointState.ENABLED, 15, 2.5)
    async with transaction(pool) as conn:
        await store.mark_enabled(conn, endpoint_id=other)
        assert await endpoints.unpark_stragglers(conn) == 5 + 20, "no other is held up by it"
    assert await pool.fetchval(DUE, endpoint_id) == 10
    async with transaction(pool) as conn:
        assert (await endpoints.resume(conn, endpoint_id)).waiting == 0
    with pytest.raises(InvalidInput):
        async with transaction(pool) as conn:
            await endpoints.resume(conn, endpoint_id, pace_per_s=0.0)


async def test_what_waits_can_be_discarded_and_the_ledger_adds_up(pool: Pool) -> None:
    endpoint_id = await created(pool)
    async with transaction(pool) as conn:
        await endpoints.park(conn, endpoint_id, reason="quiet")
    for _ in range(3):
        await published(pool)
    async with transaction(pool) as conn:
        count, left = await endpoints.discard(conn, endpoint_id)
    assert (count, left.waiting, left.state) == (3, 0, EndpointState.PARKED)
    assert await pool.fetchval("select count(*) from postroom.attempt where outcome = 'cancelled'") == 3
    assert (await check_ledger(pool)).drift == 0


async def test_nothing_is_queued_for_a_disabled_endpoint_until_it_is_resumed(pool: Pool) -> None:
    endpoint_id = await created(pool)
    await published(pool)
    async with transaction(pool) as conn:
        assert await store.mark_disabled(conn, endpoint_id=endpoint_id, reason="gone")
    await published(pool)
    assert await pool.fetchval(DUE, endpoint_id) == 1
    async with transaction(pool) as conn:
        assert (await endpoints.fetch_endpoint(conn, endpoint_id)).state is EndpointState.DISABLED
        assert (await endpoints.resume(conn, endpoint_id)).state is EndpointState.ENABLED
    await published(pool)
    assert await pool.fetchval(DUE, endpoint_id) == 2


async def test_a_message_for_later_is_not_sent_early_by_a_resume(pool: Pool) -> None:
    endpoint_id = await created(pool)
    async with transaction(pool) as conn:
        await endpoints.park(conn, endpoint_id, reason="quiet")
        await conn.execute(
            "select postroom.publish('webhook', $1, deliver_at => now() + interval '1 hour')",
            '{"tenant": "acme", "type": "a", "data": {}}',
        )
        await endpoints.resume(conn, endpoint_id)
    assert await pool.fetchval(DUE, endpoint_id) == 0


async def test_the_first_reason_for_parking_is_kept(pool: Pool) -> None:
    endpoint_id = await created(pool)
    async with transaction(pool) as conn:
        assert await store.mark_parked(conn, endpoint_id=endpoint_id, reason="first")
        assert not await store.mark_parked(conn, endpoint_id=endpoint_id, reason="second")
        assert (await endpoints.fetch_endpoint(conn, endpoint_id)).parked_reason == "first"


async def test_a_publish_that_commits_after_the_resume_is_found_as_a_straggler(pool: Pool) -> None:
    endpoint_id, quiet_id = await created(pool), await created(pool, tenant="quiet")
    async with transaction(pool) as conn:
        await endpoints.park(conn, endpoint_id, reason="quiet")
        await endpoints.park(conn, quiet_id, reason="quiet")
    await published(pool, tenant="quiet")
    async with pool.acquire() as publisher, publisher.transaction():
        payload = {"tenant": "acme", "type": "a", "data": {}}
        await publish(publisher, Message(channel="webhook", payload=payload))
        async with transaction(pool) as conn:
            await endpoints.resume(conn, endpoint_id)
    assert await pool.fetchval(WAITING, endpoint_id) == 1
    async with transaction(pool) as conn:
        assert await endpoints.unpark_stragglers(conn) == 1
    assert await pool.fetchval(DUE, endpoint_id) == 1
    assert await pool.fetchval(WAITING, quiet_id) == 1


async def test_stragglers_are_released_in_batches(pool: Pool) -> None:
    first_id, second_id = await created(pool), await created(pool)
    for _ in range(3):
        await published(pool)
    await pool.execute("update postroom.delivery set due_at = 'infinity'")
    released = []
    async with transaction(pool) as conn:
        for _ in range(3):
            released.append(await endpoints.unpark_stragglers(conn, batch_max=4))
    assert released == [4, 2, 0]
    assert [await pool.fetchval(DUE, key) for key in (first_id, second_id)] == [3, 3]


async def test_a_resume_wakes_a_sleeper(pool: Pool) -> None:
    endpoint_id = await created(pool)
    async with transaction(pool) as conn:
        await endpoints.park(conn, endpoint_id, reason="quiet")
    await published(pool)
    await pool.execute("insert into postroom.sleeper (channel, worker) values ('webhook', 1)")
    heard: asyncio.Queue[str] = asyncio.Queue()
    async with pool.acquire() as listener:
        await listener.add_listener("postroom", lambda *notice: heard.put_nowait(str(notice[-1])))
        async with transaction(pool) as conn:
            await endpoints.resume(conn, endpoint_id)
        assert await asyncio.wait_for(heard.get(), 5) == "webhook"
        await listener.reset()


async def test_what_waits_for_a_deleted_endpoint_becomes_due_so_that_it_can_end(pool: Pool) -> None:
    endpoint_id = await created(pool)
    async with transaction(pool) as conn:
        await endpoints.park(conn, endpoint_id, reason="quiet")
    await published(pool)
    async with transaction(pool) as conn:
        await endpoints.delete_endpoint(conn, endpoint_id)
    assert await pool.fetchval(DUE, endpoint_id) == 1
    async with transaction(pool) as conn:
        assert await store.fetch_targets(conn, [endpoint_id]) == {}
        for call in (endpoints.fetch_endpoint, endpoints.delete_endpoint, endpoints.resume):
            with pytest.raises(NotFound):
                await call(conn, endpoint_id)
        with pytest.raises(NotFound):
            await endpoints.park(conn, endpoint_id, reason="quiet")


async def test_rotation_keeps_the_previous_secret_for_24_hours(pool: Pool) -> None:
    async with transaction(pool) as conn:
        made = await endpoints.create_endpoint(conn, tenant="acme", url=URL)
        rotated = await endpoints.rotate_secret(conn, made.endpoint.id)
        both = await store.fetch_targets(conn, [made.endpoint.id])
    assert both[made.endpoint.id].secrets == (rotated.secret, made.secret)
    left_s = await pool.fetchval(
        "select extract(epoch from previous_secret_until - now())::float8 from postroom.endpoint"
    )
    assert 24 * 3_600 - 60 < left_s <= 24 * 3_600
    await pool.execute("update postroom.endpoint set previous_secret_until = now()")
    async with transaction(pool) as conn:
        one = await store.fetch_targets(conn, [made.endpoint.id])
        shown = await endpoints.fetch_endpoint(conn, made.endpoint.id)
    assert one[made.endpoint.id].secrets == (rotated.secret,)
    assert shown.previous_secret_until is None


async def test_an_imported_secret_is_used_as_it_is_and_never_printed(pool: Pool) -> None:
    secret = generate_secret()
    async with transaction(pool) as conn:
        made = await endpoints.create_endpoint(conn, tenant="acme", url=URL, secret=secret)
        with pytest.raises(InvalidInput):
            await endpoints.create_endpoint(conn, tenant="acme", url=URL, secret=SecretStr("whsec_short"))
    assert made.secret == secret
    assert secret.get_secret_value() not in repr(made)


async def test_several_processes_that_need_the_signing_secret_first_get_the_same_one(pool: Pool) -> None:
    async def first() -> tuple[SecretStr, ...]:
        async with transaction(pool) as conn:
            return (await deployment_secret.fetch_or_create_secrets(conn)).of(yarl.URL(URL))

    assert len(set(await asyncio.gather(*(first() for _ in range(8))))) == 1


async def test_pages_go_by_id_and_by_tenant(pool: Pool) -> None:
    made = [await created(pool) for _ in range(3)]
    await created(pool, tenant="other")
    async with transaction(pool) as conn:
        first = await endpoints.list_endpoints(conn, tenant="acme", limit=2)
        second = await endpoints.list_endpoints(conn, tenant="acme", after=first[-1].id, limit=2)
        everything = await endpoints.list_endpoints(conn)
    assert sorted(made) == [endpoint.id for endpoint in first + second]
    assert len(everything) == 4


async def test_an_update_changes_what_is_given_and_nothing_else(pool: Pool) -> None:
    endpoint_id = await created(pool, types=("invoice.*",))
    async with transaction(pool) as conn:
        changed = await endpoints.update_endpoint(conn, endpoint_id, url="https://example.org/new")
        assert (changed.url, changed.types) == ("https://example.org/new", ("invoice.*",))
        changed = await endpoints.update_endpoint(conn, endpoint_id, types=["a", "a", "b"], description="x")
        assert (changed.types, changed.description) == (("a", "b"), "x")
        with pytest.raises(InvalidInput):
            await endpoints.update_endpoint(conn, endpoint_id, url="http://169.254.169.254/")
        with pytest.raises(NotFound):
            await endpoints.update_endpoint(conn, uuid4(), description="x")


async def test_a_tenant_has_a_limit(pool: Pool) -> None:
    for _ in range(ENDPOINTS_PER_TENANT_MAX):
        await created(pool)
    with pytest.raises(Conflict):
        await created(pool)
    await created(pool, tenant="other")


@pytest.mark.parametrize("payload", ["[]", "7", "{}", '{"tenant": "acme"}', '{"type": "a", "data": 1}'])
async def test_what_nobody_could_get_becomes_one_delivery_and_does_not_vanish(
    pool: Pool, payload: str
) -> None:
    await created(pool)
    await pool.execute("select postroom.publish('webhook', $1::jsonb)", payload)
    assert await pool.fetch("select endpoint_id from postroom.delivery") == [(None,)]
