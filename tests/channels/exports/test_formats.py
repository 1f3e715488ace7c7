"""CSV and Parquet hold what was published, read by somebody else's reader."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from postroom.base.clock import SystemClock
from postroom.base.db import Pool
from postroom.base.export_settings import ExportSettings
from postroom.channels.exports.adapter import ExportAdapter
from postroom.channels.exports.job import export_files_job
from postroom.outbox.model import Message
from postroom.worker.model import JobContext
from tests.fixtures.engine import AT_ONCE, AdapterEngine
from tests.fixtures.export_reader import read_manifest
from tests.fixtures.roles import pool_as

FOLDER = "orders/t/dt=2026-01-01"
CREATED = 1_767_225_600
FULL: dict[str, Any] = {
    "created": CREATED, "id": 9_007_199_254_740_993, "paid": True, "total": 10.25,
    "note": 'a "b", c\nd', "lines": [{"sku": "é"}],
}  # fmt: skip
BARE: dict[str, Any] = {"created": CREATED, "id": 2, "note": "", "total": 3}
Open = Callable[..., Awaitable[AdapterEngine]]
READERS = {"csv": "read_csv", "parquet": "read_parquet", "ndjson": "read_ndjson"}


@pytest.fixture
def open_runner(dsn: str, pool: Pool, tmp_path: Path) -> Open:
    async def open_one(**settings: Any) -> AdapterEngine:
        adapter = ExportAdapter(
            pool=pool_as(pool, "runner"),
            clock=SystemClock(),
            settings=ExportSettings(**{"roll_s": 0, **settings}),
            state_dir=tmp_path,
        )
        return await AdapterEngine(dsn, pool, adapter, AT_ONCE).start()

    return open_one


def messages(*records: dict[str, Any]) -> list[Message]:
    return [
        Message(channel="export", payload={"dataset": "orders", "record": each}, tenant="t")
        for each in records
    ]


def read(tmp_path: Path, reader: str, columns: str) -> list[tuple[Any, ...]]:
    root = tmp_path / "exports"
    files = [str(root / file["path"]) for file in read_manifest(root / FOLDER / "_manifest.json")["files"]]
    options = {
        "csv": ", union_by_name = true, allow_quoted_nulls = false",
        "parquet": ", union_by_name = true",
        "ndjson": "",
    }[reader]
    with duckdb.connect() as database:
        statement = f"select {columns} from {READERS[reader]}({files}{options}) order by 1"
        return database.execute(statement).fetchall()


async def reasons(pool: Pool) -> list[str]:
    return [row["reason"] for row in await pool.fetch("select reason from postroom.dead_letter order by seq")]


async def test_parquet_has_types_and_its_reader_finds_every_record(
    open_runner: Open, pool: Pool, tmp_path: Path
) -> None:
    runner = await open_runner(format="parquet")
    published = await runner.publish(messages(FULL, BARE))
    await runner.drain()
    assert await reasons(pool) == []
    found = read(tmp_path, "parquet", "record.id, record.paid, record.total, record.note, record.lines")
    assert found == [
        (2, None, 3.0, "", None), (9_007_199_254_740_993, True, 10.25, FULL["note"], '[{"sku": "é"}]'),
    ]  # fmt: skip
    assert {each for (each,) in read(tmp_path, "parquet", "id")} == {str(each) for each in published}


async def test_csv_tells_empty_from_missing_and_keeps_digits(open_runner: Open, tmp_path: Path) -> None:
    runner = await open_runner(format="csv")
    await runner.publish(messages(FULL, BARE))
    await runner.drain()
    columns = '"record.id", "record.paid", "record.total", "record.note", "record.lines"'
    assert read(tmp_path, "csv", columns) == [
        (2, None, 3.0, "", None), (9_007_199_254_740_993, True, 10.25, FULL["note"], '[{"sku": "é"}]'),
    ]  # fmt: skip


async def test_a_record_that_changes_a_type_dies_alone_and_a_new_field_is_a_version(
    open_runner: Open, pool: Pool, tmp_path: Path
) -> None:
    runner = await open_runner(format="parquet")
    await runner.publish(messages({"created": CREATED, "id": 1}))
    await runner.drain()
    await runner.publish(
        messages(
            {"created": CREATED, "id": "2"},
            {"created": CREATED, "id": 3},
            {"created": CREATED, "id": 4, "new": "x"},
        )
    )
    await runner.drain()
    assert await reasons(pool) == ["record.id must be an integer of 64 bits, as in the files before"]
    assert read(tmp_path, "parquet", "record.id, record.new") == [(1, None), (3, None), (4, "x")]
    manifest = read_manifest(tmp_path / "exports" / FOLDER / "_manifest.json")
    assert [file["schema_version"] for file in manifest["files"]] == [1, 2]
    assert manifest["schemas"]["2"] == {"created": "integer", "id": "integer", "new": "string"}


async def test_a_declared_schema_holds_for_ndjson_too(open_runner: Open, pool: Pool, tmp_path: Path) -> None:
    schemas = {"orders": {"created": "timestamp", "id": "integer", "note": "string?"}}
    runner = await open_runner(schemas=schemas)
    await runner.publish(messages({"created": CREATED, "id": 1}, {"created": CREATED}, {**BARE, "id": 5}))
    await runner.drain()
    assert sorted(await reasons(pool)) == [
        "record.id must be there: it is declared without ?",
        "record.total is not in the schema that is declared",
    ]
    assert read(tmp_path, "ndjson", "record.id") == [(1,)]


async def test_a_declaration_that_would_change_a_type_stops_the_dataset_and_no_other(
    open_runner: Open, pool: Pool
) -> None:
    runner = await open_runner(format="csv")
    await runner.publish(messages({"created": CREATED, "id": 1}))
    await runner.drain()
    runner = await open_runner(format="csv", schemas={"orders": {"created": "integer", "id": "string"}})
    other = Message(channel="export", payload={"dataset": "other", "record": {"id": "x"}})
    await runner.publish([*messages({"created": CREATED, "id": "1"}), other])
    await runner.drain()
    assert await reasons(pool) == ["record.id is declared as string and was integer: use another dataset"]
    assert await pool.fetchval("select count(*) from postroom.delivery") == 0


async def test_a_changed_format_begins_another_file(open_runner: Open, pool: Pool, tmp_path: Path) -> None:
    runner = await open_runner(roll_s=300)
    await runner.publish(messages({"created": CREATED, "id": 1}))
    await runner.drain()
    runner = await open_runner(roll_s=300, formats={"orders": "csv"})
    await runner.publish(messages({"created": CREATED, "id": 2}))
    await runner.drain()
    await runner.travel(300)
    await runner.drain()
    manifest = read_manifest(tmp_path / "exports" / FOLDER / "_manifest.json")
    assert [file["path"].partition(".")[2] for file in manifest["files"]] == ["ndjson.gz", "csv.gz"]
    assert await pool.fetchval("select count(*) from postroom.delivery") == 0


async def test_a_file_belongs_to_the_schema_that_it_began_with(
    open_runner: Open, pool: Pool, tmp_path: Path
) -> None:
    """No manifest says of lines that nobody checked that they have a schema, however files become one."""
    integers = {"orders": {"created": "integer", "id": "integer"}}
    grown = {"orders": {**integers["orders"], "note": "string?"}}
    runner = await open_runner(roll_s=300)
    for schemas, record in (({}, {"id": "odd"}), (integers, {"id": 1}), (grown, {"id": 2}), ({}, {"id": {}})):
        runner = await open_runner(roll_s=300, schemas=schemas)
        for _ in range(2):  # into the file that is open
            await runner.publish(messages({"created": CREATED, **record}))
            await runner.drain()
    await runner.travel(300)
    await runner.drain()
    path = tmp_path / "exports" / FOLDER / "_manifest.json"
    listed = [(file["schema_version"], file["records"]) for file in read_manifest(path)["files"]]
    assert listed == [(None, 2), (1, 2), (2, 2), (None, 2)]
    assert isinstance(runner.adapter, ExportAdapter)
    job = export_files_job(
        pool=runner.runner, files=runner.adapter.files, settings=ExportSettings(compact_files=4)
    )
    await job.run(JobContext(requested=True))
    manifest = read_manifest(path)
    assert [file["schema_version"] for file in manifest["files"]] == [None, 2, None]
    assert manifest["records"] == 8
    assert await reasons(pool) == []


async def test_a_file_that_a_runner_of_an_earlier_version_opened_has_its_columns(
    open_runner: Open, pool: Pool, tmp_path: Path
) -> None:
    """It decides the version of the schema when the file closes."""
    runner = await open_runner(format="csv", roll_s=300)
    await runner.publish(messages({"created": CREATED, "id": 1}))
    await runner.drain()
    await pool.execute("update postroom.export_file set schema_version = null")
    await runner.travel(300)
    await runner.drain()
    assert read(tmp_path, "csv", '"record.id"') == [(1,)]


async def test_a_column_that_comes_while_a_file_is_open_is_in_it(
    open_runner: Open, pool: Pool, tmp_path: Path
) -> None:
    runner = await open_runner(format="csv", roll_s=300)
    for record in ({"id": 1}, {"id": 2, "note": "x"}):
        await runner.publish(messages({"created": CREATED, **record}))
        await runner.drain()
    await runner.travel(300)
    await runner.drain()
    assert read(tmp_path, "csv", '"record.id", "record.note"') == [(1, None), (2, "x")]
    assert await pool.fetchval("select count(*) from postroom.export_file") == 1
