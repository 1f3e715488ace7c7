"""Commands of the pages, as they stand: each exists, and those that could do harm do none.

`make drill FULL=1` runs all of them where something is broken; these tests find what is broken in the pages.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest

from drill.pages import FOLDER, read_page
from drill.shell import run_block
from postroom.admin.tokens import Scope, insert_token, list_tokens
from postroom.base.db import Pool, transaction
from postroom.base.settings import Settings
from postroom.channels.webhooks import endpoints
from postroom.outbox.ledger.balance import check_ledger
from postroom.outbox.model import Channel, Message
from postroom.outbox.publish import publish, publish_many
from postroom.worker.model import JOB_NAMES
from tests.deploy.files import assert_command_exists
from tests.fixtures.api import running_api
from tests.fixtures.engine import Engine, ScriptedAdapter, email
from tests.processes.commands import environment

needs_psql = pytest.mark.needs("psql")
LOG_BEGINS_DAYS: Final = 90
TENANT: Final = "acme"
RUNBOOK: Final = FOLDER.parent / "runbook.md"


async def paste(page: str, home: Path, dsn: str, **variables: str) -> str:
    """Both sections, block by block, as a person would. Returns all they said."""
    path = f"{Path(sys.executable).parent}:"
    own = environment(home, {"POSTROOM_DATABASE_URL": dsn, "POSTROOM_STATE_DIR": str(home)})
    said = ""
    for block in (*read_page(page).diagnosis, *read_page(page).mitigation):
        ran = await run_block(block, environment={**own, "PATH": path + own["PATH"], **variables})
        assert ran.succeeded, f"{block}\n{ran.output}"
        said += ran.output
    return said


def blocks() -> Iterator[tuple[str, str]]:
    """Every block of commands with the page it stands on."""
    for path in (RUNBOOK, *sorted(FOLDER.glob("*.md"))):
        for block in re.findall(r"^```sh\n(.*?)^```$", path.read_text(), re.MULTILINE | re.DOTALL):
            yield path.stem, block


COMMANDS: Final = sorted(
    {
        (place, found.strip())
        for place, block in blocks()
        for found in re.findall(r"(?:^|\$\()((?:postroom|python -m) [^|>#\n]*)", block, re.MULTILINE)
    }
)
STATEMENTS: Final = [
    (place, found)
    for place, block in blocks()
    for found in re.findall(r'^psql "\$POSTROOM_DATABASE_URL"[^"]*"[^"]*"$', block, re.MULTILINE)
]


@pytest.mark.parametrize(("place", "command"), COMMANDS)
def test_a_command_exists_with_its_options(place: str, command: str) -> None:
    words = shlex.split(command)
    assert_command_exists(words)
    for before, word in pairwise(words):
        if before == "--job" or (before == "run" and words[:2] == ["postroom", "jobs"]):
            assert word in (*JOB_NAMES, "$JOB"), f"no job is called {word}"


@needs_psql
@pytest.mark.rows_by_hand
@pytest.mark.parametrize(("place", "command"), STATEMENTS, ids=lambda text: text[:40])
async def test_a_statement_fits_the_schema(place: str, command: str, dsn: str) -> None:
    own = {"PATH": os.environ["PATH"], "POSTROOM_DATABASE_URL": dsn}
    ran = await run_block(command, environment=own)
    assert ran.succeeded, ran.output


async def test_every_address_is_served(dsn: str) -> None:
    asked = {
        ("POST" if "-X POST" in line else "GET", re.sub(r"\$\w+", "x", path))
        for _, block in blocks()
        for line in block.replace("\\\n", " ").splitlines()
        for path in re.findall(r"\$POSTROOM(/[^\s\"?]*)", line)
    }
    async with running_api(dsn, Settings()) as api:
        described = (await api.get("/openapi.json")).json["paths"]
        for method, path in asked:
            if path.startswith("/v1/"):
                fits = [
                    name
                    for name in described
                    if re.fullmatch(re.sub(r"\{\w+(:path)?\}", "[^/]+", name), path)
                ]
                assert any(method.lower() in described[name] for name in fits), f"{method} {path}"
            else:
                assert (await api.call(method, path)).status in (200, 503), f"{method} {path}"
    assert {path for _, path in asked} >= {
        "/readyz",
        "/metrics",
        "/v1/admin/circuits",
        "/v1/admin/outbox/dead-letter",
    }


async def grow_old(pool: Pool) -> None:
    """What retention leaves of a message from before the attempt log: the message alone."""
    await pool.execute("truncate postroom.attempt")
    await pool.execute(
        "update postroom.message set created_at = now() - make_interval(days => $1)", LOG_BEGINS_DAYS + 10
    )


@needs_psql
@pytest.mark.rows_by_hand
async def test_what_is_missing_is_put_back_and_nothing_that_was_sent_long_ago(
    dsn: str, pool: Pool, tmp_path: Path
) -> None:
    engine = await Engine(dsn, pool, ScriptedAdapter()).start()
    await engine.publish([email(), email(), email()])
    assert await engine.drain() == 3
    await grow_old(pool)
    await engine.publish([email(), email()])
    assert await engine.drain() == 2
    async with transaction(pool) as conn:
        for number in range(2):
            await endpoints.create_endpoint(conn, tenant=TENANT, url=f"https://receiver{number}.example.com")
        fan_out = await publish(
            conn, Message(channel=Channel.WEBHOOK, payload={"tenant": TENANT, "type": "a.b", "data": {}})
        )
        [lost] = await publish_many(conn, [email()])
    wanted = await deliveries(pool)
    await pool.execute("delete from postroom.delivery where message_id = $1 and n = 1", fan_out.id)
    await pool.execute("delete from postroom.delivery where message_id = $1", lost.id)
    # One more is missing, and nothing says which: it must not be made up from what was sent long ago.
    await pool.execute(
        "update postroom.tally set value = value - 1 where (name, label, shard) ="
        " (select name, label, shard from postroom.tally where label = 'email/delivered' and value > 0"
        " and name = 'ended' limit 1)"
    )
    assert (await check_ledger(pool)).drift == 3

    said = await paste("LedgerDrift", tmp_path, dsn)

    assert await deliveries(pool) == wanted, said
    assert (await check_ledger(pool)).drift == 1


async def deliveries(pool: Pool) -> set[tuple[Any, ...]]:
    rows = await pool.fetch("select message_id, n, channel, destination, endpoint_id from postroom.delivery")
    return {tuple(row) for row in rows}


async def test_the_token_that_ends_is_followed_by_one_that_does_not(
    dsn: str, pool: Pool, tmp_path: Path
) -> None:
    """One that ended long ago is left alone."""
    now = datetime.now(UTC)
    async with transaction(pool) as conn:
        for name, days in (("left", -400), ("billing run", 3), ("other", 200)):
            await insert_token(
                conn,
                name=name,
                scopes=(Scope.EVENTS_WRITE, Scope.ADMIN_READ),
                expires_at=now + timedelta(days=days),
            )
        [ending] = [token for token in await list_tokens(conn) if token.name == "billing run"]

    await paste("TokenExpiresSoon", tmp_path, dsn, OLD_ID=str(ending.id))

    async with transaction(pool) as conn:
        tokens = {token.name: token for token in await list_tokens(conn)}
    assert set(tokens) == {"left", "billing run", "other", "billing-run"}
    made, old = tokens["billing-run"], tokens["billing run"]
    assert set(made.scopes) == {Scope.EVENTS_WRITE, Scope.ADMIN_READ}
    assert made.expires_at is not None
    assert made.expires_at > now + timedelta(days=360)
    assert old.revoked_at is not None
    assert tokens["left"].revoked_at is None
    assert tokens["other"].revoked_at is None
