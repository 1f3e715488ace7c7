"""Commands where there are several ledgers: some are about all of them, the others want one to be named."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

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
