"""Who reads what the manifest lists sees whole files and each record once, whatever crashes."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
from collections import Counter
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from postroom.admin.audit import Actor
from postroom.admin.exports import look_again, write_again
from postroom.admin.tokens import Scope
from postroom.base.db import Pool, transaction
from postroom.base.export_settings import ExportSettings
from postroom.channels.exports.adapter import ExportAdapter
from postroom.channels.exports.folder import FolderStorage
from postroom.channels.exports.job import export_files_job
from postroom.channels.exports.manifest import encode, make_manifest
from postroom.channels.exports.model import Partition
from postroom.channels.exports.upkeep import FileFilter, list_files
from postroom.outbox import store
from postroom.outbox.model import Delivered, Message
from postroom.outbox.policy import delivered
from postroom.worker.model import JobContext
from tests.channels.exports.conftest import Crash, Open
from tests.fixtures.engine import AdapterEngine
from tests.fixtures.export_reader import listed_ids, read_manifest
from tests.fixtures.roles import pool_as
from tests.fixtures.watched_storage import WatchedStorage

DAY_S = 1_767_225_600
FOLDER = "orders/t/dt=2026-01-01"


def records(count: int, *, dataset: str = "orders", tenant: str = "t") -> list[Message]:
    return [
        Message(
            channel="export",
            payload={"dataset": dataset, "record": {"number": number, "created": DAY_S}},
            tenant=tenant,
        )
        for number in range(count)
    ]


async def upkeep(runner: AdapterEngine, *, requested: bool = True) -> int:
    assert isinstance(runner.adapter, ExportAdapter)
    job = export_files_job(pool=runner.runner, files=runner.adapter.files, settings=ExportSettings())
    return await job.run(JobContext(requested=requested))


async def test_the_manifest_says_what_to_read(open_runner: Open, root: Path) -> None:
    runner = await open_runner(records_max=3)
    published = await runner.publish(records(4))
    await runner.drain()
    manifest = read_manifest(root / FOLDER / "_manifest.json")
    assert (manifest["dataset"], manifest["tenant"], manifest["dt"]) == ("orders", "t", "2026-01-01")
    assert (len(manifest["files"]), manifest["records"]) == (2, 4)
    assert listed_ids(root) == Counter(published)


async def test_tenants_and_days_that_share_a_folder_are_not_named(open_runner: Open, root: Path) -> None:
    runner = await open_runner(layout="{dataset}")
    await runner.publish([*records(1), *records(1, tenant="other")])
    await runner.drain()
    manifest = read_manifest(root / "orders" / "_manifest.json")
    assert (manifest["tenant"], manifest["dt"], manifest["records"]) == (None, None, 2)


async def deliver_some(runner: AdapterEngine) -> None:
    """Claim, deliver and settle, and be killed anywhere: what is held is freed then, as the rescue does."""
    assert isinstance(runner.adapter, ExportAdapter)
    with suppress(Crash):
        while claims := await runner.claim(20):
            answers = await runner.adapter.deliver_batch(claims)
            ended = [
                (claim, delivered(), 0)
                for claim, answer in zip(claims, answers, strict=True)
                if isinstance(answer, Delivered)
            ]
            async with transaction(runner.runner) as conn:
                assert not await store.settle_claims(conn, ended)
    await runner.bury()


async def test_killed_at_each_step_a_reader_sees_no_half_and_no_double(
    open_runner: Open, pool: Pool, storage: WatchedStorage, root: Path
) -> None:
    """Before and after the file, before and after the manifest; what is delivered is always listed."""
    published: list[UUID] = []
    for step in range(8):
        left = iter(range(step, -1, -1))

        async def count_down(left: Any = left) -> None:
            if next(left, -1) == 0:
                raise Crash
            assert max(listed_ids(root).values(), default=1) == 1  # and each file is whole

        storage.before = storage.after = count_down
        runner = await open_runner()
        published += await runner.publish(records(3))
        await deliver_some(runner)
        waiting = await pool.fetch("select message_id from postroom.delivery")
        assert not Counter(published) - listed_ids(root) - Counter(row[0] for row in waiting)
        storage.before = storage.after = None
        await deliver_some(await open_runner())
        assert listed_ids(root) == Counter(published)
    assert await pool.fetchval("select count(*) from postroom.delivery") == 0


@pytest.mark.parametrize("seed", range(2))
async def test_runners_at_once_that_crash_list_each_record_once(
    seed: int, open_runner: Open, storage: WatchedStorage, root: Path
) -> None:
    chance = random.Random(seed)
    published: list[UUID] = []

    async def crash_or_pass() -> None:
        for _ in range(chance.randint(0, 3)):
            await asyncio.sleep(0)
        if chance.random() < 0.1:
            raise Crash

    storage.before = storage.after = crash_or_pass
    for step in range(4):
        if step == 3:
            storage.before = storage.after = None
        runners = [await open_runner(records_max=5) for _ in range(3)]
        for tenant in "ab":
            published += await runners[0].publish(records(chance.randint(5, 20), tenant=tenant))
        await asyncio.gather(*(deliver_some(runner) for runner in runners))
        assert not listed_ids(root) - Counter(published)
    await deliver_some(await open_runner())
    assert listed_ids(root) == Counter(published)


async def test_who_is_late_replaces_no_newer_manifest(root: Path) -> None:
    storage = FolderStorage(root)
    partition = Partition("a", "a")
    old, new = (encode(make_manifest(partition, version, [])) for version in (4, 5))
    assert await storage.replace_older("a/_manifest.json", new, 5) == 5
    assert await storage.replace_older("a/_manifest.json", old, 4) == 5
    assert (root / "a/_manifest.json").read_bytes() == new
    (root / "a/_manifest.json").write_bytes(b"damaged")
    assert await storage.replace_older("a/_manifest.json", old, 4) == 4


async def test_a_ledger_from_a_backup_goes_on_above_what_is_there(
    open_runner: Open, pool: Pool, root: Path
) -> None:
    runner = await open_runner()
    await runner.publish(records(1))
    await runner.drain()
    await FolderStorage(root).replace_older(
        f"{FOLDER}/_manifest.json", encode(make_manifest(Partition(FOLDER, "orders"), 40, [])), 40
    )
    published = await runner.publish(records(1))
    await runner.drain()
    assert read_manifest(root / FOLDER / "_manifest.json")["version"] > 40
    assert published[0] in listed_ids(root)


async def test_a_manifest_that_a_crash_left_behind_is_written_by_the_job(
    open_runner: Open, pool: Pool, storage: WatchedStorage, root: Path
) -> None:
    runner = await open_runner()
    published = await runner.publish(records(1))
    await runner.drain()
    await pool.execute("update postroom.export_partition set version = version + 1, changed_at = now()")
    assert await upkeep(runner, requested=False) == 0  # whoever changed it is about to write it
    await runner.travel(61)
    assert await upkeep(runner, requested=False) == 1
    assert read_manifest(root / FOLDER / "_manifest.json")["version"] == 2
    assert listed_ids(root) == Counter(published)


async def test_what_a_runner_of_before_stored_is_listed(open_runner: Open, pool: Pool, root: Path) -> None:
    runner = await open_runner()
    published = await runner.publish(records(1))
    await runner.drain()
    await pool.execute("update postroom.export_file set listed = false, folder = null")
    await pool.execute("delete from postroom.export_partition")
    (root / FOLDER / "_manifest.json").unlink()
    await upkeep(runner)
    manifest = read_manifest(root / FOLDER / "_manifest.json")
    assert (manifest["tenant"], manifest["dt"]) == (None, "2026-01-01")
    assert listed_ids(root) == Counter(published)


async def test_a_lost_file_is_written_again_and_one_without_its_payloads_is_named(
    open_runner: Open, pool: Pool, root: Path
) -> None:
    runner, which = await open_runner(), FileFilter(dataset="orders")
    published = await runner.publish(records(2))
    await runner.drain()
    gone = await runner.publish(records(2))
    await runner.drain()
    await pool.execute("update postroom.message set payload = '{}' where id = $1", gone[0])
    before = {path: path.read_bytes() for path in files_below(root)}
    for path in before:
        path.unlink()
    async with transaction(pool_as(pool, "api")) as conn:
        found = await look_again(conn, which)
        assert (len(found.files), len(found.incomplete)) == (1, 1)
        wanted = await write_again(conn, which, actor=Actor("test", scopes=frozenset(Scope)))
        assert wanted == found
    await upkeep(runner)
    [again] = files_below(root)
    assert again.read_bytes() == before[again]
    assert await pool.fetchval("select count(*) from postroom.export_file where again") == 0
    assert await pool.fetchval("select count(*) from postroom.audit where action = 'export.again'") == 1
    assert {str(each) for each in published} <= set(again_ids(again))


def files_below(root: Path) -> list[Path]:
    return sorted(root.rglob("*.ndjson.gz"))


def again_ids(path: Path) -> list[str]:
    return [json.loads(line)["id"] for line in gzip.decompress(path.read_bytes()).splitlines()]


async def test_files_are_found_by_the_day_of_their_records(open_runner: Open, pool: Pool) -> None:
    runner = await open_runner()
    await runner.publish([*records(1), *records(1, tenant="other"), *records(1, dataset="else")])
    await runner.drain()
    async with pool.acquire() as conn:
        day, after = date(2026, 1, 1), date(2026, 1, 2)
        assert len(await list_files(conn, FileFilter(since=day, until=after))) == 3
        assert await list_files(conn, FileFilter(until=day)) == []
        [file] = await list_files(conn, FileFilter(dataset="orders", tenant="other", since=day))
    assert (file.day, file.records, file.listed, file.current) == (day, 1, True, True)
