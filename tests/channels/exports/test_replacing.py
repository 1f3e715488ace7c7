"""Small files become one, and a person leaves every file: listed once at any time, whatever crashes."""

from __future__ import annotations

import gzip
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import duckdb
import pytest

from postroom.admin.audit import Actor
from postroom.admin.erasure import ErasureReport, erase, person
from postroom.admin.tokens import Scope
from postroom.base.db import Pool, transaction
from postroom.base.export_settings import ExportSettings
from postroom.channels.exports.adapter import ExportAdapter
from postroom.channels.exports.job import export_files_job
from postroom.channels.exports.model import FILE_BYTES_MAX, ExportFile
from postroom.channels.exports.replacing import COMPACTED_GRACE_S, ERASED_GRACE_S, QUIET_S, gather
from postroom.outbox.model import Message
from postroom.worker.model import JobContext
from tests.channels.exports.conftest import Crash, Open
from tests.fixtures.engine import AdapterEngine
from tests.fixtures.export_reader import listed_ids, read_manifest
from tests.fixtures.roles import pool_as
from tests.fixtures.watched_storage import WatchedStorage

FOLDER = "orders/t/dt=2026-01-01"
ADA = "ada@example.com"
CREATED = 1_767_225_600
FORMATS = ("ndjson", "csv", "parquet")


async def export(runner: AdapterEngine, *records: dict[str, Any]) -> list[UUID]:
    """Each a file of its own."""
    published: list[UUID] = []
    for each in records:
        payload = {"dataset": "orders", "record": {"created": CREATED, **each}}
        published += await runner.publish([Message(channel="export", payload=payload, tenant="t")])
        await runner.drain()
    return published


async def upkeep(runner: AdapterEngine, *, requested: bool = False, files_min: int = 8) -> None:
    assert isinstance(runner.adapter, ExportAdapter)
    settings = ExportSettings(compact_files=files_min)
    job = export_files_job(pool=runner.runner, files=runner.adapter.files, settings=settings)
    await job.run(JobContext(requested=requested))


def objects(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file() and path.name != "_manifest.json")


def hits(root: Path, format_: str) -> int:
    """In any object, listed or not."""
    if format_ == "parquet":
        with duckdb.connect() as database:
            files = [str(path) for path in objects(root)]
            rows = (
                database.execute(f"select to_json(r) from read_parquet({files}) r").fetchall()
                if files
                else []
            )
        return sum(ADA in text for (text,) in rows)
    return sum(ADA.encode() in gzip.decompress(path.read_bytes()) for path in objects(root))


def ids_below(root: Path, format_: str) -> Counter[UUID]:
    """What the manifest's files hold, by another reader."""
    files = [str(root / file["path"]) for file in read_manifest(root / FOLDER / "_manifest.json")["files"]]
    if not files:
        return Counter()
    reader = {
        "ndjson": f"read_ndjson({files})",
        "csv": f"read_csv({files}, union_by_name = true, all_varchar = true)",
        "parquet": f"read_parquet({files}, union_by_name = true)",
    }[format_]
    with duckdb.connect() as database:
        return Counter(UUID(str(row[0])) for row in database.execute(f"select id from {reader}").fetchall())


async def erase_ada(pool: Pool) -> ErasureReport:
    return await erase(
        lambda: transaction(pool_as(pool, "api")),
        who=person(ADA),
        time_max_s=60,
        actor=Actor("test", scopes=frozenset(Scope)),
    )


@pytest.mark.parametrize("format_", FORMATS)
async def test_small_files_become_one_and_nothing_is_lost(
    format_: str, open_runner: Open, root: Path, pool: Pool
) -> None:
    runner = await open_runner(format=format_)
    published = await export(
        runner, {"id": 1, "note": 'a,b\r\n"c"'}, *({"id": n} for n in range(2, 8)), {"id": 8, "new": "x"}
    )
    await upkeep(runner)
    assert len(objects(root)) == 8  # their folder has just changed
    await runner.travel(QUIET_S)
    await upkeep(runner)
    assert len(read_manifest(root / FOLDER / "_manifest.json")["files"]) == 1
    assert ids_below(root, format_) == Counter(published)
    assert len(objects(root)) == 9  # for who has read the manifest before
    await runner.travel(COMPACTED_GRACE_S)
    await upkeep(runner)
    assert len(objects(root)) == 1
    assert await pool.fetchval("select count(*) from postroom.export_file") == 1
    assert await pool.fetchval("select records from postroom.export_file") == 8


@pytest.mark.parametrize("format_", FORMATS)
async def test_who_was_erased_is_in_no_object_and_everybody_else_is(
    format_: str, open_runner: Open, root: Path, pool: Pool
) -> None:
    runner = await open_runner(format=format_, roll_s=300)
    for records in (
        [{"id": 1, "email": ADA}, {"id": 2, "email": "x@y.org"}],
        [{"id": 3, "email": "z@y.org"}],
    ):
        await export(runner, *records)
        await runner.travel(300)
        await runner.drain()
    before = ids_below(root, format_)
    assert (hits(root, format_), before.total()) == (1, 3)
    report = await erase_ada(pool)
    assert len(report.export_files) == 1
    await upkeep(runner)
    assert ids_below(root, format_).total() == 2
    await runner.travel(ERASED_GRACE_S)
    await upkeep(runner)
    assert (hits(root, format_), len(objects(root))) == (0, 2)
    assert not ids_below(root, format_) - before
    assert await pool.fetchval("select count(*) from postroom.export_record") == 2
    assert await pool.fetchval("select count(*) from postroom.export_search") == 0


async def test_a_person_is_found_where_the_ledger_has_forgotten_what_it_wrote(
    open_runner: Open, root: Path, pool: Pool
) -> None:
    runner = await open_runner()
    await export(runner, {"email": ADA}, {"email": ADA}, {"email": "x@y.org"})
    first, second, _ = [
        row["id"] for row in await pool.fetch("select id from postroom.export_file order by id")
    ]
    await pool.execute("update postroom.message set payload = '{}'")
    await pool.execute("delete from postroom.export_record where file_id = $1", second)
    await pool.execute("update postroom.export_file set forgotten = true where id = $1", second)
    report = await erase_ada(pool)
    assert report.export_files == []  # nobody knows yet
    await upkeep(runner)
    await runner.travel(ERASED_GRACE_S)
    await upkeep(runner)
    assert (hits(root, "ndjson"), len(objects(root))) == (0, 1)
    assert await pool.fetchval("select count(*) from postroom.export_file where id = $1", first) == 0
    assert read_manifest(root / FOLDER / "_manifest.json")["records"] == 1


@pytest.mark.parametrize("what", ["erasure", "compaction"])
async def test_killed_at_each_step_a_replacement_goes_on_and_nothing_is_seen_twice(
    what: str, open_runner: Open, root: Path, pool: Pool, storage: WatchedStorage
) -> None:
    runner = await open_runner()
    for step in range(10):
        published = await export(runner, {"email": ADA}, {"n": 1}, {"n": 2})
        whole, left = listed_ids(root), iter(range(step, -1, -1))
        others = whole - Counter(published[:1])

        async def count_down(left: Any = left, whole: Any = whole, others: Any = others) -> None:
            if next(left, -1) == 0:
                raise Crash
            seen = listed_ids(root)  # each file is whole
            assert seen in (whole, others) or what == "erasure"
            assert not seen - whole
            assert not others - seen

        if what == "erasure":
            await erase_ada(pool)
        storage.before = storage.after = count_down
        for _ in range(2):
            with suppress(Crash):
                await upkeep(runner, files_min=3 if what == "compaction" else 0, requested=True)
            await runner.travel(COMPACTED_GRACE_S)
        storage.before = storage.after = None
        await upkeep(runner, files_min=3 if what == "compaction" else 0, requested=True)
        await runner.travel(COMPACTED_GRACE_S)
        await upkeep(runner, files_min=3 if what == "compaction" else 0, requested=True)
        assert listed_ids(root) == (others if what == "erasure" else whole)
        listed = read_manifest(root / FOLDER / "_manifest.json")["files"]
        assert sorted(str(root / file["path"]) for file in listed) == [*map(str, objects(root))]


async def test_a_file_that_somebody_lost_holds_up_no_other(open_runner: Open, root: Path, pool: Pool) -> None:
    runner = await open_runner()
    await export(runner, {"email": ADA}, {"email": ADA})
    objects(root)[0].unlink()
    await erase_ada(pool)
    await upkeep(runner)
    await runner.travel(ERASED_GRACE_S)
    await upkeep(runner)
    assert objects(root) == []
    assert await pool.fetchval("select count(*) from postroom.export_file where replaced_by is not null") == 0


def test_files_are_gathered_by_format_up_to_the_limits_of_one() -> None:
    def small(
        name: str, size: int, records: int = 1, *, has_schema: bool = False
    ) -> tuple[ExportFile, int, bool]:
        return ExportFile(uuid4(), f"a/shop.example/{name}", size_bytes=size), records, has_schema

    half = FILE_BYTES_MAX // 2
    found = [small("1.csv.gz", half), small("2.csv.gz", half), small("3.csv.gz", 1), small("4.ndjson.gz", 1)]
    assert [*gather(found, records_max=10)] == [[found[0][0].id, found[1][0].id]]
    many = [small(f"{n}.parquet", 1, 4) for n in range(5)]
    assert [len(each) for each in gather(many, records_max=10)] == [2, 2]
    some = [small(f"{n}.ndjson.gz", 1, has_schema=n > 2) for n in range(6)]
    assert [*gather(some, records_max=10)] == [[each[0].id for each in some[n : n + 3]] for n in (0, 3)]
