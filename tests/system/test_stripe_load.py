"""`postroom stripe load` and the runner that does it, as processes: killed in the midst, it goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from postroom.base.db import Pool
from postroom.dev.stripe_api import StripeStandIn
from tests.processes.commands import Ended, Running, run

CUSTOMERS = 3_000
PAGES = CUSTOMERS // 100
LIMIT_S = 120.0
WORK = ("work", "--job", "stripe-load", "--once")
MIRRORED = "select count(*) from postroom.stripe_object"


@pytest.fixture
async def stand_in() -> AsyncIterator[StripeStandIn]:
    stand_in = StripeStandIn()
    await stand_in.start()
    for n in range(CUSTOMERS):
        stand_in.put({"id": f"cus_{n}", "object": "customer", "livemode": False})
    yield stand_in
    await stand_in.stop()


@pytest.fixture
def settings(dsn: str, tmp_path: Path, stand_in: StripeStandIn) -> dict[str, str]:
    return {
        "POSTROOM_DATABASE_URL": dsn,
        "POSTROOM_STATE_DIR": str(tmp_path / "state"),
        "POSTROOM_STRIPE__API_KEY": "sk_test_cli_0123456789",
        "POSTROOM_STRIPE__API_BASE": stand_in.url,
        "POSTROOM_STRIPE__MIRROR": "customer,coupon",
    }


async def test_killed_in_the_midst_it_goes_on_where_it_was(
    settings: dict[str, str], tmp_path: Path, pool: Pool, stand_in: StripeStandIn
) -> None:
    async def command(*words: str) -> Ended:
        return await asyncio.to_thread(run, "postroom", *words, home=tmp_path, settings=settings)

    look = await command("stripe", "load", "--dry-run", "--json")
    assert [(each["type"], each["state"]) for each in look.json] == [
        ("coupon", "waits"),
        ("customer", "waits"),
    ]
    assert await pool.fetchval("select count(*) from postroom.stripe_load") == 0

    asked = await command("stripe", "load", "--no-wait")
    assert asked.code == 0, asked.err
    assert await pool.fetchval("select count(*) from postroom.audit where action = 'stripe.load'") == 1

    runner = Running(WORK, home=tmp_path, settings=settings)
    async with asyncio.timeout(LIMIT_S):
        while await pool.fetchval(MIRRORED) < 300:
            assert runner.process.poll() is None, runner.output
            await asyncio.sleep(0.01)
    runner.process.kill()
    runner.process.wait()
    mirrored = await pool.fetchval(MIRRORED)
    assert 300 <= mirrored < CUSTOMERS
    objects = await pool.fetchval("select objects from postroom.stripe_load where type = 'customer'")
    assert objects == mirrored, "a page and its place are one commit"

    ended = await command(*WORK)
    assert ended.code == 0, ended.err
    pages = sum(each.path == "/v1/customers" for each in stand_in.requests)
    assert pages <= PAGES + 1, "only the page that was under way is asked for again"
    assert await pool.fetchval(MIRRORED) == CUSTOMERS

    told = await command("stripe", "load", "--json")
    assert told.code == 0, told.err
    assert [(each["type"], each["state"], each["objects"]) for each in told.json] == [
        ("coupon", "loaded", 0),
        ("customer", "loaded", CUSTOMERS),
    ]
    assert await pool.fetchval("select count(*) from postroom.message") == 0


async def test_what_there_is_not_is_named(settings: dict[str, str], tmp_path: Path) -> None:
    for words, text in (
        (("--account", "eu"), "the settings have no account eu"),
        (("--type", "custmer"), "Stripe lists no objects of type custmer"),
    ):
        refused = await asyncio.to_thread(
            run, "postroom", "stripe", "load", *words, home=tmp_path, settings=settings
        )
        assert refused.code != 0
        assert text in refused.err + refused.out
