"""Pages whose commands could do harm: their very text, run on a database that has a past."""

from __future__ import annotations

import shutil
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from app.base.db import Pool, transaction
from app.ops.token_store import create_token, list_tokens
from app.ops.tokens import Scope
from app.outbox.ledger import check_ledger
from app.outbox.model import Channel, Message
from app.outbox.publisher import publish, publish_many
from app.webhooks import endpoints
from drill.pages import read_page
from drill.shell import run_block
from tests.engine import Engine, ScriptedAdapter, email
from tests.system.commands import environment

needs_psql = pytest.mark.skipif(
    shutil.which("psql") is None, reason="needs psql: apt-get install postgresql-client"
)
LOG_BEGINS_DAYS: Final = 90
TENANT: Final = "acme"


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
    assert (await check_ledger(pool)).drift == 2

    said = await paste("LedgerDrift", tmp_path, dsn)

    assert await deliveries(pool) == wanted, said
    assert (await check_ledger(pool)).drift == 0


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
            await create_token(
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
