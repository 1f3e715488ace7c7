"""Access is made of what was there before, of what runners of before write, and goes with its object."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from postroom.admin.erasure import person
from postroom.base import json
from postroom.base.db import Pool, transaction
from postroom.channels.stripe.access_job import access_job
from postroom.channels.stripe.access_store import list_access
from postroom.channels.stripe.erasure import erase_objects
from postroom.channels.stripe.event import parse
from postroom.channels.stripe.store import ObjectRow, upsert_objects
from postroom.encryption.keyring import NO_KEYS, Keyring, keyring_of
from postroom.worker.model import JobContext
from tests.channels.stripe.test_customer_access import (
    NOW,
    access,
    changed,
    entitled,
    subscription,
    summary,
    told,
)
from tests.fixtures.encryption import OLD, keys
from tests.fixtures.stripe import Scene

GRACE = timedelta(days=3)
MAIL = "ada@example.com"
FORGOTTEN = "delete from postroom.stripe_access"
OLD_WRITE = """
update postroom.stripe_object set data = $2::text::jsonb, updated_at = now() where object_id = $1"""
ROUND = "select filled_at is not null from postroom.stripe_access_state"
COUNT = "select count(*) from postroom.stripe_access"
OBJECTS = """
insert into postroom.stripe_object
    (account, object_id, type, data, deleted, as_of, event_id, event_rank, fetched)
select 'self', 'sub_' || n, 'subscription', jsonb_build_object('object', 'subscription',
        'customer', 'cus_' || n / 2, 'status', 'active', 'plan', '{"product": "prod_1"}'::jsonb),
    false, now(), 'evt_1', 1, false
from generate_series(1, 5000) n"""
MANY = """
insert into postroom.stripe_access
select account, object_id, 'cus_' || substr(object_id, 5)::int / 2, 'product', 'active', '{prod_1}',
    array[now()], true, null, updated_at
from postroom.stripe_object"""
PLAN = "explain (analyze, format json) select * from stripe.customer_access where customer = 'cus_77'"


async def run(pool: Pool, keyring: Keyring = NO_KEYS, *, requested: bool = False) -> int:
    return await access_job(pool=pool, keyring=keyring, grace=GRACE).run(JobContext(requested=requested))


async def fill(pool: Pool, *objects: dict[str, Any], keyring: Keyring = NO_KEYS) -> None:
    rows = []
    for each in objects:
        event = parse(changed(each, NOW))
        rows.append(ObjectRow(event, each, deleted=False, as_of=event.created, api_version=None))
    async with transaction(pool) as conn:
        await upsert_objects(conn, rows, keyring)


async def test_what_the_mirror_has_from_before_is_filled_in_once(pool: Pool, tmp_path: Path) -> None:
    scene = Scene(pool, tmp_path)
    await scene.process(changed(subscription(), NOW))
    await scene.process(entitled(summary("sso"), NOW))
    before = await access(pool)
    await pool.execute(FORGOTTEN)
    assert await run(pool) == 2
    assert await access(pool) == before
    assert await pool.fetchval(ROUND)
    await pool.execute(FORGOTTEN)
    assert await run(pool) == 0  # it rests
    assert await run(pool, requested=True) == 2
    await scene.close()


async def test_what_a_runner_of_before_writes_is_found(pool: Pool) -> None:
    await fill(pool, subscription())
    newer = json.encode(subscription(status="unpaid"))
    await pool.execute(OLD_WRITE, "sub_1", newer)
    assert (await told(pool))["prod_1"][1] == "active"
    assert await run(pool) == 1
    assert (await told(pool))["prod_1"][1] == "unpaid"
    assert await run(pool, requested=True) == 0


async def test_a_job_that_ends_in_between_goes_on_where_it_was(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await pool.execute(OBJECTS)
    monkeypatch.setattr("postroom.channels.stripe.access_job.BATCHES_MAX", 2)
    counts = [await run(pool) for _ in range(4)]
    assert counts[0] > 0
    assert sum(counts) == await pool.fetchval(COUNT) == 5_000
    assert await pool.fetchval(ROUND)


async def test_what_somebody_is_writing_is_left_to_them(pool: Pool) -> None:
    await fill(pool, subscription("sub_1"), subscription("sub_2"))
    await pool.execute(FORGOTTEN)
    async with transaction(pool) as conn:
        await conn.execute("select from postroom.stripe_object where object_id = 'sub_1' for update")
        assert await run(pool) == 1


async def test_sealed_objects_are_made_of_with_their_key(pool: Pool) -> None:
    keyring = keyring_of(keys(OLD))
    await fill(pool, subscription(), keyring=keyring)
    before = await access(pool)
    assert [row.name for row in before] == ["prod_1"]
    await pool.execute(FORGOTTEN)
    assert await run(pool) == 0
    assert await run(pool, keyring, requested=True) == 1
    assert await access(pool) == before


async def test_the_grace_of_the_settings_is_written_down(pool: Pool) -> None:
    await run(pool)
    assert await pool.fetchval("select grace from postroom.stripe_access_state") == GRACE


@pytest.mark.parametrize("encrypted", [False, True])
async def test_whoever_is_erased_leaves_no_access(pool: Pool, encrypted: bool) -> None:
    keyring = keyring_of(keys(OLD)) if encrypted else NO_KEYS
    customer = {"id": "cus_1", "object": "customer", "email": MAIL}
    await fill(pool, customer, subscription(), subscription("sub_2", customer="cus_2"), keyring=keyring)
    who = person(MAIL)
    async with transaction(pool) as conn:
        assert await erase_objects(conn, who.pattern, who.opened, keyring) == (2, 0)
    assert await access(pool) == []
    assert len(await access(pool, "cus_2")) == 1
    assert await pool.fetchval("select array_agg(object_id) from postroom.stripe_object") == ["sub_2"]
    assert await run(pool, keyring) == 0


@pytest.mark.rows_by_hand
@pytest.mark.parametrize("also", ["", " and account = 'self'", " and account = 'self' and livemode"])
async def test_of_a_customer_nothing_else_is_read(pool: Pool, also: str) -> None:
    """PostgreSQL 15 sorted the whole mirror where nothing told it to look objects up."""
    await pool.execute(OBJECTS.replace("5000", "100000"))
    await pool.execute(MANY)
    await pool.execute("analyze postroom.stripe_access, postroom.stripe_object")
    [plan] = json.decode(await pool.fetchval(PLAN + also))
    assert "stripe_access_customer" in json.encode(plan)
    assert max(read(plan["Plan"])) <= 4
    async with pool.acquire() as conn:
        assert [row.subscription for row in await list_access(conn, "cus_77")] == ["sub_155"]


def read(node: dict[str, Any]) -> list[float]:
    """Rows that each part of a plan gave."""
    below = [rows for each in node.get("Plans", ()) for rows in read(each)]
    return [node["Actual Rows"] * node["Actual Loops"], *below]
