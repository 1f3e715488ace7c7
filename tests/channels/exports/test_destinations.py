"""Tenants and datasets whose files are put elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from postroom.base.clock import SystemClock
from postroom.base.db import Pool, transaction
from postroom.base.errors import SettingsInvalid
from postroom.base.export_settings import ExportSettings
from postroom.base.settings import load_settings
from postroom.channels.exports.adapter import ExportAdapter
from postroom.channels.exports.failures import StorageFailed
from postroom.channels.exports.job import export_files_job
from postroom.channels.exports.store import erase_records
from postroom.channels.exports.upkeep import FileFilter, list_files, want_again
from postroom.health.export_destinations import check_export_destinations
from postroom.outbox.model import Message
from postroom.resilience.circuits import Circuits
from postroom.worker.model import JobContext
from tests.fixtures.engine import AT_ONCE, AdapterEngine
from tests.fixtures.export_reader import listed_ids
from tests.fixtures.roles import pool_as

Open = Callable[..., Awaitable[AdapterEngine]]


def settings_of(tmp_path: Path, **more: Any) -> ExportSettings:
    return ExportSettings(
        url=f"file://{tmp_path}/all",
        roll_s=0,
        compact_files=2,
        **{
            "destinations": {
                "acme": {"url": f"file://{tmp_path}/acme", "tenants": ["acme"]},
                "bills": {"url": f"file://{tmp_path}/bills", "datasets": ["bills"]},
            },
            **more,
        },
    )


@pytest.fixture
def open_runner(dsn: str, pool: Pool, tmp_path: Path) -> Open:
    async def open_one(**more: Any) -> AdapterEngine:
        runner, clock = pool_as(pool, "runner"), SystemClock()
        adapter = ExportAdapter(
            pool=runner,
            clock=clock,
            settings=settings_of(tmp_path, **more),
            state_dir=tmp_path,
            circuits=Circuits(pool=runner, clock=clock, worker=1),
        )
        return await AdapterEngine(dsn, pool, adapter, AT_ONCE).start()

    return open_one


def record(dataset: str, tenant: str) -> Message:
    return Message(channel="export", payload={"dataset": dataset, "record": {"created": 0}}, tenant=tenant)


async def run_job(runner: AdapterEngine) -> int:
    assert isinstance(runner.adapter, ExportAdapter)
    files = runner.adapter.files
    job = export_files_job(pool=runner.runner, files=files, settings=files._settings)
    return await job.run(JobContext(requested=True))


def ids_in(tmp_path: Path) -> dict[str, set[str]]:
    """What the manifests of each place list."""
    places = [name for name in ("all", "acme", "bills") if (tmp_path / name).exists()]
    return {name: {str(each) for each in listed_ids(tmp_path / name)} for name in places}


async def test_each_record_is_where_its_tenant_or_else_its_dataset_is(
    open_runner: Open, pool: Pool, tmp_path: Path
) -> None:
    runner = await open_runner()
    ids = await runner.publish(
        [record("bills", "acme"), record("x", "acme"), record("bills", "b"), record("x", "b")]
    )
    await runner.drain()
    acme, also_acme, bills, other = map(str, ids)
    assert ids_in(tmp_path) == {"all": {other}, "acme": {acme, also_acme}, "bills": {bills}}
    async with pool.acquire() as conn:
        paths = [file.path or "" for file in await list_files(conn, FileFilter())]
    folders = [path.rpartition("/")[0] for path in paths]
    assert sorted(folders) == [
        "acme://bills/acme/dt=1970-01-01",
        "acme://x/acme/dt=1970-01-01",
        "bills://bills/b/dt=1970-01-01",
        "x/b/dt=1970-01-01",
    ]


async def test_small_files_become_one_in_their_own_place_and_who_was_erased_is_gone_from_it(
    open_runner: Open, pool: Pool, tmp_path: Path
) -> None:
    runner = await open_runner()
    ids = []
    for _ in range(3):
        ids += await runner.publish([record("x", "acme")])
        await runner.drain()
    await runner.travel(7_200)
    await run_job(runner)
    assert await pool.fetchval("select count(*) from postroom.export_file where listed") == 1
    async with transaction(pool) as conn:
        [path] = await erase_records(conn, message_ids=ids[:1])
        assert path.startswith("acme://x/acme/")
    await run_job(runner)
    await runner.travel(7_200)
    await run_job(runner)
    assert ids_in(tmp_path) == {"acme": {str(each) for each in ids[1:]}}
    assert len([*(tmp_path / "acme").rglob("*.ndjson.gz")]) == 1


async def test_a_place_that_is_away_holds_up_its_own_records_only(
    open_runner: Open, pool: Pool, tmp_path: Path
) -> None:
    runner = await open_runner()
    away = tmp_path / "acme"
    away.write_text("a file where the folder should be")
    ids = await runner.publish([record("x", "acme"), record("x", "b")])
    await runner.drain()
    assert ids_in(tmp_path)["all"] == {str(ids[1])}
    circuits = await pool.fetch(
        "select name from postroom.circuit where name like 'export%' or state <> 'closed'"
    )
    assert [row["name"] for row in circuits] == ["export:acme"]

    async with transaction(pool) as conn:  # and the job goes on past it
        files = await list_files(conn, FileFilter())
        await want_again(conn, file_ids=[file.id for file in files])
    [lost] = (tmp_path / "all").rglob("*.ndjson.gz")
    lost.unlink()
    await run_job(runner)
    assert lost.exists()

    away.unlink()
    await asyncio.wait_for(_until_delivered(runner, pool), 20)
    assert ids_in(tmp_path)["acme"] == {str(ids[0])}


async def _until_delivered(runner: AdapterEngine, pool: Pool) -> None:
    while await pool.fetchval("select count(*) from postroom.delivery"):
        await runner.travel(60)
        await runner.drain()


async def test_a_place_that_is_no_longer_named_is_told_and_keeps_nobody_else(
    open_runner: Open, pool: Pool, tmp_path: Path
) -> None:
    runner = await open_runner()
    ids = await runner.publish([record("x", "acme"), record("x", "b")])
    await runner.drain()
    later = await open_runner(destinations={})
    async with transaction(pool) as conn:
        await erase_records(conn, message_ids=ids)
    with pytest.raises(StorageFailed, match="POSTROOM_EXPORTS__DESTINATIONS__ACME__URL"):
        await run_job(later)
    assert ids_in(tmp_path) == {"all": set(), "acme": {str(ids[0])}}
    async with pool.acquire() as conn:
        [finding] = await check_export_destinations(conn, settings_of(tmp_path, destinations={}))
        assert finding.subject == "exports"
        assert finding.command == "export POSTROOM_EXPORTS__DESTINATIONS__ACME__URL=…"
        assert await check_export_destinations(conn, settings_of(tmp_path)) == []


def test_places_that_would_take_the_same_records_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "A__URL": "s3://one",
        "A__TENANTS": '["acme", "b"]',
        "B__URL": "s3://one",
        "B__TENANTS": '["acme"]',
        "C__URL": "s3://three",
        "D__URL": "s3://four",
        "D__TENANTS": '["acme"]',
        "D__DATASETS": '["bills"]',
    }.items():
        monkeypatch.setenv(f"POSTROOM_EXPORTS__DESTINATIONS__{name}", value)
    with pytest.raises(SettingsInvalid) as refused:
        load_settings()
    text = str(refused.value)
    assert "POSTROOM_EXPORTS__DESTINATIONS__A__URL: the same as of b" in text
    assert "POSTROOM_EXPORTS__DESTINATIONS__A__…: takes the same records as b: acme" in text
    assert "POSTROOM_EXPORTS__DESTINATIONS__C__…: name tenants or datasets" in text
    assert "DESTINATIONS__D" not in text


def test_credentials_of_a_place_are_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    prefix = "POSTROOM_EXPORTS__DESTINATIONS__ACME__"
    monkeypatch.setenv(f"{prefix}URL", "s3://acme")
    monkeypatch.setenv(f"{prefix}TENANTS", '["acme"]')
    monkeypatch.setenv(f"{prefix}OPTIONS__SECRET_ACCESS_KEY", "hunter2")
    settings = load_settings()
    place = settings.exports.destinations["acme"]
    assert place.options["secret_access_key"].get_secret_value() == "hunter2"
    assert "hunter2" not in repr(settings)


def test_a_name_that_no_path_could_begin_with_is_refused() -> None:
    with pytest.raises(ValidationError, match="small letters"):
        ExportSettings(destinations={"a/b": {"url": "s3://x", "tenants": ["t"]}})  # type: ignore[dict-item]
