"""What waits behind a batch that was claimed goes into files without a claim of its own."""

from __future__ import annotations

import asyncio
import csv
import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from postroom.admin.audit import Actor
from postroom.admin.messages import cancel
from postroom.base.db import Pool, transaction
from postroom.channels.exports import store
from postroom.channels.exports.adapter import ExportAdapter
from postroom.channels.exports.model import RECORD_BYTES_MAX
from postroom.outbox.lanes import LANES, NORMAL, Lane, Urgency
from postroom.outbox.model import Claim, Message
from tests.channels.exports.conftest import Crash, Open, until_somebody_waits_for_a_lock
from tests.fixtures.engine import AdapterEngine
from tests.fixtures.watched_storage import WatchedStorage

MIDNIGHT_S = 1_767_225_600
COUNT = 900
FILE = 200
"""Records of a file; as many are claimed at first."""


def records(count: int = COUNT, **more: Any) -> list[Message]:
    return [
        Message(
            channel="export",
            payload={"dataset": "orders", "record": {"number": number, "created": MIDNIGHT_S}},
            tenant="t",
            **more,
        )
        for number in range(count)
    ]


def lines(root: Path) -> list[dict[str, Any]]:
    files = sorted(root.rglob("*.ndjson.gz"))
    return [json.loads(line) for file in files for line in gzip.decompress(file.read_bytes()).splitlines()]


def days(root: Path) -> set[str]:
    return {file.parent.name.removeprefix("dt=") for file in root.rglob("*.gz")}


def numbers(root: Path) -> list[int]:
    texts = [gzip.decompress(file.read_bytes()).decode() for file in root.rglob("*.csv.gz")]
    rows = [row for text in texts for row in csv.DictReader(text.splitlines())]
    return [int(row["record.number"]) for row in rows] or [line["record"]["number"] for line in lines(root)]


def ids(root: Path) -> Counter[UUID]:
    return Counter(UUID(line["id"]) for line in lines(root))


async def held(pool: Pool) -> int:
    count: int = await pool.fetchval("select count(*) from postroom.delivery where worker is not null")
    return count


async def deliver_first(runner: AdapterEngine, lane: Lane = NORMAL) -> None:
    assert isinstance(runner.adapter, ExportAdapter)
    await runner.adapter.deliver_batch(await runner.claim(FILE, lane=lane))


@pytest.fixture
def windows(open_runner: Open) -> Open:
    async def open_one(**settings: Any) -> Any:
        return await open_runner(**{"roll_s": 300, "records_max": FILE, **settings})

    return open_one


async def test_a_backlog_is_written_without_claiming_all_of_it(windows: Open, pool: Pool, root: Path) -> None:
    runner = await windows()
    published = await runner.publish(records())
    claimed = await runner.drain()
    assert claimed < COUNT
    assert await held(pool) == 0
    assert not await pool.fetchval("select count(*) from postroom.delivery where due_at <= now()")
    assert sum(ids(root).values()) >= COUNT - 2 * FILE  # the full ones
    await runner.travel(300)
    await runner.drain()
    assert ids(root) == Counter(published)
    attempts = await pool.fetch("select message_id, attempt, detail from postroom.attempt")
    assert Counter(row["message_id"] for row in attempts) == Counter(published)
    assert {row["attempt"] for row in attempts} == {1}
    assert await pool.fetchval("select count(*) from postroom.delivery") == 0


async def test_runners_that_write_a_backlog_together_write_nothing_twice(
    windows: Open, pool: Pool, storage: WatchedStorage, root: Path
) -> None:
    runners = [await windows() for _ in range(3)]
    published = await runners[0].publish(records())
    await asyncio.gather(*(runner.drain() for runner in runners))
    await runners[0].travel(300)
    await asyncio.gather(*(runner.drain() for runner in runners))
    assert ids(root) == Counter(published)
    assert len(storage.paths) == len(set(storage.paths))


def limit(tenant: str | None, destination: str | None) -> str:
    shown = (f"'{each}'" if each else "null" for each in (tenant, destination))
    return f"""insert into postroom.delivery_limit (channel, tenant, destination, in_flight, reason, set_by)
        values ('export', {", ".join(shown)}, 1000, 'agreed', 'ada')"""


THE_OTHERS = "where message_id = any ($1)"
KINDS = {
    "ordered": f"update postroom.delivery set ordering_key = 'k' {THE_OTHERS}",  # the first have none
    "expiring": f"update postroom.delivery set expires_at = now() + interval '1 day' {THE_OTHERS}",
    "of an age of its own": f"update postroom.delivery set since = now() {THE_OTHERS}",
    "of another urgency": f"update postroom.delivery set state = 'pending_urgent' {THE_OTHERS}",
    "older": "update postroom.message set created_at = created_at - interval '1 day' where id = any ($1)",
    "limited": limit(None, "orders"),
    "of a tenant's": limit("other", None),
    "paused": "insert into postroom.channel_pause (channel, reason, paused_by) values ('export', 'r', 'ada')",
    "bulk": "update postroom.delivery set state = 'pending_bulk'",
}


@pytest.mark.parametrize("kind", [*KINDS, "plain"])
async def test_what_the_engine_has_to_keep_count_of_is_claimed(kind: str, windows: Open, pool: Pool) -> None:
    runner = await windows()
    await runner.publish(records(FILE))
    others = await runner.publish(records(FILE))
    if statement := KINDS.get(kind):
        await pool.execute(statement, *([others] if "$1" in statement else []))
    await deliver_first(runner, LANES[Urgency.BULK] if kind == "bulk" else NORMAL)
    written = await pool.fetchval("select count(*) from postroom.export_record")
    assert written == (2 * FILE if kind == "plain" else FILE)


async def test_what_is_in_an_open_file_is_put_off_until_it_closes(windows: Open, pool: Pool) -> None:
    runner = await windows()
    await runner.publish(records(FILE + 10))
    await deliver_first(runner)
    assert await pool.fetchval("select count(*) from postroom.export_record") == FILE + 10
    assert await pool.fetchval("select count(*) from postroom.delivery where due_at > now()") == 10


async def test_a_bad_record_of_a_backlog_dies_alone(windows: Open, pool: Pool, root: Path) -> None:
    runner = await windows()
    published = await runner.publish(
        [*records(), Message(channel="export", payload={"dataset": "A/B", "record": {}}, tenant="t")]
    )
    await runner.drain()
    await runner.travel(300)
    await runner.drain()
    dead = await pool.fetch("select message_id from postroom.dead_letter")
    assert [row["message_id"] for row in dead] == published[-1:]
    assert ids(root) == Counter(published[:-1])


@pytest.mark.parametrize("settings", [{}, {"time_fields": {"orders": "placed"}}, {"format": "csv"}])
async def test_of_a_backlog_as_much_is_looked_at_as_its_files_need(
    windows: Open, pool: Pool, root: Path, settings: dict[str, Any]
) -> None:
    """Its day, by default and by a field of its own; its fields, where the dataset has a schema."""
    runner = await windows(**settings)
    await runner.publish(
        Message(
            channel="export",
            payload={
                "dataset": "orders",
                "record": {"created": MIDNIGHT_S + n % 2 * 86_400, "placed": "2026-01-03", "number": n},
            },
        )
        for n in range(COUNT)
    )
    claimed = await runner.drain()
    assert claimed < COUNT
    await runner.travel(300)
    await runner.drain()
    assert days(root) == ({"2026-01-03"} if "time_fields" in settings else {"2026-01-01", "2026-01-02"})
    assert sorted(numbers(root)) == list(range(COUNT))


async def test_a_record_that_names_another_tenant_than_its_message_dies(
    windows: Open, pool: Pool, root: Path
) -> None:
    """As SQL publishes them; whether they are claimed, or waited behind those that were."""
    runner = await windows()
    publish = """select postroom.publish('export', jsonb_build_object('dataset', 'orders',
            'record', jsonb_build_object('number', n), 'tenant', case when n % 50 = 0 then 'u' else 't' end),
        tenant => 't') from generate_series(1, $1) n"""
    await pool.execute(publish, COUNT)
    await runner.drain()
    await runner.travel(300)
    await runner.drain()
    dead = await pool.fetch("select reason, count(*) from postroom.dead_letter group by 1")
    assert [tuple(row) for row in dead] == [
        ("tenant: the payload names another tenant than its message", COUNT // 50)
    ]
    assert sorted(numbers(root)) == [n for n in range(1, COUNT + 1) if n % 50]


async def test_what_is_too_large_but_small_where_it_is_stored_dies(windows: Open, pool: Pool) -> None:
    runner = await windows()
    await runner.publish(records())
    large = {"dataset": "orders", "record": {"note": "x" * RECORD_BYTES_MAX}}
    await runner.publish([Message(channel="export", payload=large, tenant="t")])
    await runner.drain()
    reason = await pool.fetchval("select reason from postroom.dead_letter")
    assert reason == f"record is larger than {RECORD_BYTES_MAX} bytes as JSON"


async def test_nobody_claims_or_cancels_what_is_being_added_to_a_file(
    windows: Open, pool: Pool, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever claimed one would close its file, and what was cancelled would be in it."""
    runner, other = await windows(), await windows()
    published = await runner.publish(records(FILE + 100))
    listed = store.list_heads
    claims: list[Claim] = []
    cancelling: list[asyncio.Task[None]] = []

    async def cancel_one() -> None:
        async with transaction(pool) as conn:
            await cancel(conn, published[FILE + 20], actor=Actor("ada"))

    async def meanwhile(*args: Any, **options: Any) -> Any:
        heads = await listed(*args, **options)
        if not cancelling:
            claims.extend(await other.claim(10))
            cancelling.append(asyncio.create_task(cancel_one()))
            await until_somebody_waits_for_a_lock(pool)
        return heads

    monkeypatch.setattr(store, "list_heads", meanwhile)
    await deliver_first(runner)
    await cancelling[0]
    assert {claim.message_id for claim in claims}.isdisjoint(published[FILE : FILE + 50])
    assert await pool.fetchval("select count(*) from postroom.export_file where closes_at is not null") == 1
    for engine in (runner, other):
        await engine.bury()  # with what it had
    fresh = await windows()
    await fresh.drain()
    await fresh.travel(300)
    await fresh.drain()
    assert ids(root) == Counter(each for each in published if each != published[FILE + 20])


async def test_killed_while_a_backlog_is_written_each_record_is_in_one_file(
    windows: Open, pool: Pool, storage: WatchedStorage, root: Path
) -> None:
    """Before a file is written, and after: what nobody has claimed is due, and leads to its file."""
    runner = await windows()
    published = await runner.publish(records())
    left = 0

    async def crash() -> None:
        nonlocal left
        left -= 1
        if left <= 0:
            raise Crash

    # First in the second file, which nobody has claimed; then in that one again, once it is claimed.
    for step, left, count in (("before", 2, FILE), ("after", 1, 2 * FILE)):  # noqa: B007
        setattr(storage, step, crash)
        claims = await runner.claim(count)
        with pytest.raises(Crash):
            await runner.adapter.deliver_batch(claims)  # type: ignore[attr-defined]
        setattr(storage, step, None)
        await runner.bury()
        runner = await windows()
    await runner.drain()
    await runner.travel(300)
    await runner.drain()
    assert ids(root) == Counter(published)
    assert await pool.fetchval("select count(*) from postroom.delivery") == 0
