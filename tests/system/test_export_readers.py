"""Runners are killed at any moment, and who reads the manifests finds what the ledger says: by DuckDB."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import duckdb
import pytest

from postroom.base.db import Pool
from postroom.base.export_settings import ExportSettings
from postroom.channels.exports.destinations import open_destinations
from postroom.channels.exports.manifest import encode, make_manifest
from postroom.channels.exports.model import Partition
from postroom.channels.exports.storage import Storage
from tests.fixtures.azurite import azurite
from tests.fixtures.engine import TRAVEL
from tests.fixtures.seaweedfs import OPTIONS, seaweedfs
from tests.processes.commands import environment

WAIT_S = 90.0
POLL_S = 0.05
ADA = "ada@example.com"
READERS = {"ndjson": "read_ndjson", "parquet": "read_parquet"}
PUBLISH = """
select postroom.publish('export', tenant => 'tenant-' || n % 3, payload =>
    jsonb_build_object('dataset', 'orders', 'record', jsonb_build_object('n', n,
        'email', case n % 50 when 7 then 'ada@example.com' else 'x@y.org' end,
        'created', 1767225600 + 86400 * (n % 2))))
from generate_series($1::integer, $2::integer) n
"""
Run = Callable[..., subprocess.Popen[bytes]]


class Site:
    """Where exports go, and who reads them there."""

    def __init__(self, settings: ExportSettings, folder: Path) -> None:
        self.settings = settings
        self.storage: Storage = open_destinations(settings, folder)
        self.copies = folder / "copies"
        self.copies.mkdir()
        self.environment = {
            "POSTROOM_EXPORTS__URL": settings.url or "",
            "POSTROOM_EXPORTS__OPTIONS": json.dumps(settings.options),
            "POSTROOM_EXPORTS__FORMAT": settings.format,
            "POSTROOM_EXPORTS__ROLL_S": "1",
            "POSTROOM_EXPORTS__RECORDS_MAX": "300",
            "POSTROOM_EXPORTS__COMPACT_FILES": "2",
        }

    async def listed(self, pool: Pool) -> list[str]:
        """Copies of every file that a manifest lists."""
        folders = [row["folder"] for row in await pool.fetch("select folder from postroom.export_partition")]
        copies: list[str] = []
        for folder in folders:
            try:
                manifest = json.loads(await self.storage.get(f"{folder}/_manifest.json"))
            except FileNotFoundError:
                continue
            for file in manifest["files"]:
                copy = self.copies / file["path"].replace("/", "_")
                copy.write_bytes(await self.storage.get(file["path"]))
                assert copy.stat().st_size == file["size_bytes"]
                copies.append(str(copy))
        return copies

    async def read(self, pool: Pool, column: str = "id") -> Counter[str]:
        files = await self.listed(pool)
        if not files:
            return Counter()
        with duckdb.connect() as database:
            statement = f"select {column} from {READERS[self.settings.format]}({files})"
            return Counter(str(value) for (value,) in database.execute(statement).fetchall())


@pytest.fixture(scope="module")
def azure() -> Iterator[dict[str, str]]:
    with azurite("container1") as options:
        yield options


@pytest.fixture(params=["folder-ndjson", "seaweedfs-parquet"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    kind, _, format_ = request.param.partition("-")
    with ExitStack() as stack:
        url, options = f"file://{tmp_path}/exports", {}
        if kind == "seaweedfs":
            endpoint = stack.enter_context(seaweedfs(tmp_path / "weed", "bucket1"))
            url, options = "s3://bucket1/exports", {**OPTIONS, "endpoint": endpoint}
        elif kind == "azurite":
            url, options = "az://container1/exports", request.getfixturevalue("azure")
        yield Site(ExportSettings(url=url, options=options, format=format_), tmp_path)


@pytest.fixture
def run(dsn: str, tmp_path: Path, site: Site) -> Iterator[Run]:
    started: list[subprocess.Popen[bytes]] = []

    def start(*command: str) -> subprocess.Popen[bytes]:
        settings = {
            "POSTROOM_DATABASE_URL": dsn,
            "POSTROOM_STATE_DIR": str(tmp_path / "state"),
            **site.environment,
        }
        with (tmp_path / "log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "postroom", *command], env=environment(tmp_path, settings),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


async def until(pool: Pool, statement: str) -> None:
    async with asyncio.timeout(WAIT_S):
        while not await pool.fetchval(statement):
            await asyncio.sleep(POLL_S)


async def travel(pool: Pool, seconds: float) -> None:
    for statement in TRAVEL:
        await pool.execute(statement, seconds)


def kill(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


async def look_after(run: Run, pool: Pool, chance: random.Random, *, killed: int) -> None:
    """The job, killed some times and then left to its end, with what it deletes later."""
    for n in range(killed + 2):
        if n == killed + 1:
            await travel(pool, 3_600)
        process = run("work", "--job", "export-files", "--once")
        if n < killed:
            replaced = "select count(*) from postroom.export_file where replaced_by is not null"
            known = await pool.fetchval(replaced)
            while process.poll() is None and await pool.fetchval(replaced) == known:
                await asyncio.sleep(POLL_S)
            await asyncio.sleep(chance.random() / 2)  # the moment is the case to try
            kill(process)
            await travel(pool, 60)
        else:
            async with asyncio.timeout(WAIT_S):
                assert await asyncio.to_thread(process.wait) == 0


@pytest.mark.timeout(400)
async def test_killed_at_any_moment_the_files_are_what_the_ledger_says(
    site: Site, run: Run, pool: Pool, tmp_path: Path
) -> None:
    chance = random.Random(20)
    for step in range(4):
        await pool.execute(PUBLISH, step * 100, step * 100 + 99)
        victims = [run("work"), run("work")]
        await until(
            pool, f"select count(*) >= {3 * step + 2} from postroom.export_file where stored_at is not null"
        )
        await asyncio.sleep(chance.random() / 2)  # the moment is the case to try
        for victim in victims:
            kill(victim)
        assert max((await site.read(pool)).values(), default=1) == 1
        await travel(pool, 60)
    last = run("work")
    await until(pool, "select not exists (select from postroom.delivery)")
    ids = Counter(str(row["id"]) for row in await pool.fetch("select id from postroom.message"))
    assert await site.read(pool) == ids
    kill(last)
    await travel(pool, 3_600)

    files = len(await site.listed(pool))
    await look_after(run, pool, chance, killed=2)
    assert await site.read(pool) == ids
    assert len(await site.listed(pool)) < files

    erased = run("erase", "--email", ADA)
    assert await asyncio.to_thread(erased.wait) == 0
    await look_after(run, pool, chance, killed=2)
    assert (await site.read(pool)).total() == ids.total() - 8
    assert (await site.read(pool, "record.email")).keys() == {"x@y.org"}
    assert await pool.fetchval("select count(*) from postroom.export_file where delete_at is not null") == 0


@pytest.mark.parametrize("site", ["azurite-ndjson"], indirect=True)
async def test_in_azure_the_next_runner_finishes_what_a_killed_one_left(
    site: Site, run: Run, pool: Pool
) -> None:
    await pool.execute(PUBLISH, 0, 299)
    victim = run("work")
    await until(pool, "select exists (select from postroom.export_file where taken_by is not null)")
    kill(victim)
    assert max((await site.read(pool)).values(), default=1) == 1
    await travel(pool, 60)
    run("work")
    await until(pool, "select not exists (select from postroom.delivery)")
    ids = Counter(str(row["id"]) for row in await pool.fetch("select id from postroom.message"))
    assert await site.read(pool) == ids


@pytest.mark.parametrize("site", ["azurite-ndjson"], indirect=True)
async def test_in_azure_a_manifest_is_replaced_by_newer_ones_only_and_deleting_is_done_once(
    site: Site,
) -> None:
    def manifest(version: int) -> bytes:
        return encode(make_manifest(Partition("x", "x"), version, []))

    path = "x/_manifest.json"
    for put, there in ((1, 1), (3, 3), (2, 3)):
        assert await site.storage.replace_older(path, manifest(put), put) == there
    await asyncio.gather(*(site.storage.replace_older(path, manifest(n), n) for n in range(4, 9)))
    assert await site.storage.get(path) == manifest(8)
    await site.storage.put("x/file.ndjson.gz", b"first")
    await site.storage.put("x/file.ndjson.gz", b"again")
    assert await site.storage.get("x/file.ndjson.gz") == b"again"
    for _ in range(2):
        await site.storage.delete("x/file.ndjson.gz")
    with pytest.raises(FileNotFoundError):
        await site.storage.get("x/file.ndjson.gz")
