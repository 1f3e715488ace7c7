"""The ages of the settings reach what ends too old messages and failing endpoints, in a worker as it runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from postroom.base.db import Pool, transaction
from postroom.base.email_settings import EmailSettings
from postroom.base.export_settings import ExportSettings
from postroom.base.settings import Settings, WebhookSettings
from postroom.base.task_settings import TaskSettings
from postroom.channels.webhooks.endpoints import create_endpoint
from postroom.dev.receiver import Receiver
from postroom.jobs.catalog import catalog
from postroom.outbox.model import Message
from postroom.outbox.publish import publish_many
from postroom.wiring import open_worker
from postroom.worker.model import Job, JobContext
from tests.fixtures.ageing import DAY_S, make_older
from tests.fixtures.engine import email
from tests.fixtures.roles import as_role

DAYS = {"email": 1.0, "webhook": 2.0, "export": 3.0, "task": 4.0}
"""Of each channel: none is its default, and none is another's."""
PARKED_DAYS = 6.0
DISABLE_DAYS = 1.5
DEAD = "select channel from postroom.dead_letter where cause = 'expired' and attempts = 0 order by channel"
FAR = "update postroom.delivery set due_at = now() + interval '1 hour'"
PARK = "update postroom.delivery set due_at = 'infinity'"


@asynccontextmanager
async def jobs(dsn: str, folder: Path) -> AsyncIterator[dict[str, Job]]:
    """Those of a runner with these ages."""
    settings = Settings(
        state_dir=folder,
        email=EmailSettings(url=SecretStr("smtp://127.0.0.1:9"), age_max_days=DAYS["email"]),
        webhook=WebhookSettings(
            allow_private=True,
            age_max_days=DAYS["webhook"],
            parked_max_days=PARKED_DAYS,
            disable_after_days=DISABLE_DAYS,
        ),
        exports=ExportSettings(url=f"file://{folder}/out", age_max_days=DAYS["export"]),
        tasks=TaskSettings(age_max_days=DAYS["task"]),
    )
    async with open_worker(settings, as_role(dsn, "runner"), role="test") as parts:
        yield catalog(parts)


async def publish(pool: Pool, *, days: float, past: bool) -> None:
    """One message of each channel that many days younger than its age allows, or `past` it."""
    made = {
        "email": email(),
        "webhook": Message(channel="webhook", payload={"url": "http://127.0.0.1:9/", "type": "t", "data": 1}),
        "export": Message(channel="export", payload={"dataset": "orders", "record": {}}),
        "task": Message(channel="task", type="absent", payload={}),
    }
    for channel, message in made.items():
        async with transaction(pool) as conn:
            [one] = await publish_many(conn, [message])
        await make_older(pool, DAYS[channel] + (days if past else -days), [one.id])


async def dead(pool: Pool) -> list[str]:
    return [row["channel"] for row in await pool.fetch(DEAD)]


@pytest.mark.parametrize("past", [True, False])
async def test_a_relay_ends_what_is_older_than_its_channel_allows(
    past: bool, dsn: str, pool: Pool, tmp_path: Path
) -> None:
    await publish(pool, days=0.5, past=past)
    async with jobs(dsn, tmp_path) as known:
        await known["outbox-delivery"].run(JobContext(once=True))
    assert await dead(pool) == (sorted(DAYS) if past else [])


@pytest.mark.parametrize("past", [True, False])
async def test_the_expiry_job_ends_what_nobody_claims(
    past: bool, dsn: str, pool: Pool, tmp_path: Path
) -> None:
    await publish(pool, days=0.5, past=past)
    async with transaction(pool) as conn:
        await conn.execute(FAR)
    async with jobs(dsn, tmp_path) as known:
        await known["expiry"].run(JobContext(once=True))
    assert await dead(pool) == (sorted(DAYS) if past else [])


@pytest.mark.parametrize("days", [PARKED_DAYS - 0.5, PARKED_DAYS + 0.5])
async def test_the_expiry_job_ends_what_is_parked_for_too_long(
    days: float, dsn: str, pool: Pool, tmp_path: Path
) -> None:
    async with transaction(pool) as conn:
        [one] = await publish_many(conn, [email()])
        await conn.execute(PARK)
    await make_older(pool, days, [one.id])
    async with jobs(dsn, tmp_path) as known:
        await known["expiry"].run(JobContext(once=True))
    assert await dead(pool) == (["email"] if days > PARKED_DAYS else [])


@pytest.mark.parametrize("days", [DISABLE_DAYS - 0.5, DISABLE_DAYS + 0.5])
async def test_an_endpoint_is_disabled_that_has_only_failed_for_so_long(
    days: float, dsn: str, pool: Pool, tmp_path: Path
) -> None:
    async with Receiver() as receiver, jobs(dsn, tmp_path) as known:
        async with transaction(pool) as conn:
            await create_endpoint(conn, tenant="acme", url=receiver.url("/status/500"), allow_private=True)
            await conn.execute(
                "update postroom.endpoint set failing_since = now() - make_interval(secs => $1)", days * DAY_S
            )
            await publish_many(
                conn, [Message(channel="webhook", tenant="acme", type="a", payload={"data": {}})]
            )
        await known["outbox-delivery"].run(JobContext(once=True))
        assert len(receiver.received) == 1
    disabled = await pool.fetchval("select disabled_at is not null from postroom.endpoint")
    assert disabled == (days > DISABLE_DAYS)
