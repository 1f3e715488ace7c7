"""Commands where there are several ledgers: some are about all of them, the others want one to be named."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from postroom.dev.stripe_api import StripeStandIn
from postroom.dev.stripe_events import snapshot_event
from tests.fixtures.ledgers import black_hole, ledgers, settings_of
from tests.processes.commands import Ended, run


@pytest.fixture
async def settings(server_dsn: str, template: str, tmp_path: Path) -> AsyncIterator[dict[str, str]]:
    async with ledgers(server_dsn, template, "a", "b") as dsns:
        with black_hole() as dead:
            yield {
                **settings_of({**dsns, "dead": dead}),
                "POSTROOM_STATE_DIR": str(tmp_path / "state"),
            }


async def test_some_commands_are_about_all_and_the_others_ask_for_one(
    settings: dict[str, str], tmp_path: Path
) -> None:
    async def postroom(*words: str) -> Ended:
        return await asyncio.to_thread(run, "postroom", *words, home=tmp_path, settings=settings)

    migrated = await postroom("migrate")
    heads = [line.partition(": ")[0] for line in migrated.out.splitlines()]
    assert (migrated.code, heads) == (1, ["a", "b"]), "the others are migrated all the same"
    assert migrated.err.startswith("dead: The database does not answer")

    found = await postroom("doctor", "--json")
    databases = {each["subject"]: each["level"] for each in found.json if "database" in each["subject"]}
    assert databases == {"a database": "ok", "b database": "ok", "dead database": "error"}

    refused = await postroom("jobs")
    assert (refused.code, refused.err) == (
        2,
        "which ledger? postroom --ledger NAME …, or POSTROOM_LEDGER; known: a, b, dead\n",
    )
    assert "canary" in (await postroom("--ledger", "a", "jobs")).out
    assert "known: a, b, dead" in (await postroom("--ledger", "c", "jobs")).err


async def test_a_backfill_is_of_the_accounts_of_its_ledger(settings: dict[str, str], tmp_path: Path) -> None:
    stripe = StripeStandIn()
    await stripe.start()
    created = int(datetime.now(UTC).timestamp()) - 600
    stripe.add_event(snapshot_event("invoice.paid", {"id": "in_1", "object": "invoice"}, created=created))
    told = {
        **settings,
        "POSTROOM_STRIPE__API_KEY": "sk_test_of_the_ledger_a",
        "POSTROOM_STRIPE__API_BASE": stripe.url,
        "POSTROOM_STRIPE__LEDGER": "a",
    }

    async def backfill(ledger: str) -> Ended:
        words = ("--ledger", ledger, "stripe", "backfill", "--since", "1h", "--json")
        return await asyncio.to_thread(run, "postroom", *words, home=tmp_path, settings=told)

    try:
        refused = await backfill("b")
        assert (refused.code, "POSTROOM_STRIPE__API_KEY is not set" in refused.err) == (2, True), refused.err
        taken = await backfill("a")
        assert taken.json["taken"] == 1
    finally:
        await stripe.stop()
