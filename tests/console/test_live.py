"""The stream of changes, and the minutes that the charts are drawn from."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from postroom.base.db import Pool, transaction
from postroom.base.settings import Settings
from postroom.console.view.charts import nice_top
from postroom.metrics.throughput import list_throughput, sample_throughput
from postroom.outbox.ledger.balance import check_ledger
from postroom.outbox.store import count_outcome
from tests.console.http import Visitor, visitor
from tests.fixtures.api import Api, running_api


@pytest.fixture
async def api(dsn: str, tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(dsn, Settings(state_dir=tmp_path)) as running:
        yield running


@pytest.fixture
async def somebody(api: Api) -> AsyncIterator[Visitor]:
    async with visitor(api) as guest:
        await guest.sign_in(api.token)
        yield guest


async def test_the_stream_tells_of_a_change_and_ends_with_the_process(api: Api, somebody: Visitor) -> None:
    async with asyncio.timeout(20), somebody.client.get("/console/live") as response:
        assert response.content_type == "text/event-stream"
        await response.content.readuntil(b"\n\n")
        first = await response.content.readuntil(b"\n\n")
        assert b"event: change" in first
        await api.pool.execute(
            "select postroom.publish('email', '{}', deliver_at => now() + interval '1 day')"
        )
        assert b"event: change" in await response.content.readuntil(b"\n\n")
        api.app.state.context.readiness.stop()
        async with asyncio.timeout(3):
            await response.content.read()  # to its end, which comes by itself


async def test_nobody_listens_without_a_session(api: Api) -> None:
    async with visitor(api) as stranger:
        assert (await stranger.get("/console/live")).status == 303


async def test_each_minute_gets_what_the_counters_grew_by(pool: Pool) -> None:
    since = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=1)
    for value in (3, 0, 4):
        async with transaction(pool) as conn:
            if value:
                for worker in (1, 2):
                    await count_outcome(
                        conn, name="outcome", label="email/delivered", worker=worker, value=value
                    )
        await check_ledger(pool)
        await sample_throughput(pool)
    async with transaction(pool) as conn:
        steps = await list_throughput(
            conn, since=since, step_s=3_600.0, labels=["email/delivered", "level/dead"]
        )
    assert {step.label: step.value for step in steps} == {"email/delivered": 14, "level/dead": 0}


def test_a_scale_ends_at_a_round_number() -> None:
    assert [nice_top(n) for n in (0, 5, 6, 11, 99, 101, 5_000, 5_001)] == [
        5,
        5,
        10,
        20,
        100,
        200,
        5_000,
        10_000,
    ]
