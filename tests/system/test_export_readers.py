"""Whole runners are killed at any moment, and who reads the manifests finds what the ledger says: by DuckDB.

At each step, and on each store: `tests/contracts/test_export_stores.py`.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from postroom.base.db import Pool
from postroom.base.export_settings import ExportSettings
from postroom.channels.exports.folder import STAGING
from tests.fixtures.engine import TRAVEL
from tests.fixtures.export_site import Site
from tests.processes.commands import environment

WAIT_S = 90.0
POLL_S = 0.05
ADA = "ada@example.com"
PUBLISH = """
select postroom.publish('export', tenant => 'tenant-' || n % 3, payload =>
    jsonb_build_object('dataset', 'orders', 'record', jsonb_build_object('n', n,
        'email', case n % 50 when 7 then 'ada@example.com' else 'x@y.org' end,
        'created', 1767225600 + 86400 * (n % 2))))
from generate_series($1::integer, $2::integer) n
"""
Run = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(ExportSettings(url=f"file://{tmp_path}/exports"), tmp_path)


@pytest.fixture
def run(dsn: str, tmp_path: Path, site: Site) -> Iterator[Run]:
    started: list[subprocess.Popen[bytes]] = []

    def start(*command: str) -> subprocess.Popen[bytes]:
        settings = {
            "POSTROOM_DATABASE_URL": dsn,
            "POSTROOM_STATE_DIR": str(tmp_path / "state"),
            "POSTROOM_EXPORTS__URL": site.settings.url or "",
            "POSTROOM_EXPORTS__ROLL_S": "1",
            "POSTROOM_EXPORTS__RECORDS_MAX": "300",
            "POSTROOM_EXPORTS__COMPACT_FILES": "2",
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


async def travel(pool: Pool, staging: Path, seconds: float) -> None:
    for statement in TRAVEL:
        await pool.execute(statement, seconds)
    make_older(staging, seconds)


def make_older(staging: Path, seconds: float) -> None:
    """What lies there has its age from the file system."""
    for file in staging.iterdir():
        written = file.stat().st_mtime - seconds
        os.utime(file, (written, written))


def kill(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


async def look_after(run: Run, pool: Pool, staging: Path, chance: random.Random, *, killed: int) -> None:
    """The job, killed some times and then left to its end, with what it deletes later."""
    for n in range(killed + 2):
        if n == killed + 1:
            await travel(pool, staging, 3_600)
        process = run("work", "--job", "export-files", "--once")
        if n < killed:
            replaced = "select count(*) from postroom.export_file where replaced_by is not null"
            known = await pool.fetchval(replaced)
            while process.poll() is None and await pool.fetchval(replaced) == known:
                await asyncio.sleep(POLL_S)
            await asyncio.sleep(chance.random() / 2)  # the moment is the case to try
            kill(process)
            await travel(pool, staging, 60)
        else:
            async with asyncio.timeout(WAIT_S):
                assert await asyncio.to_thread(process.wait) == 0


@pytest.mark.timeout(400)
async def test_killed_at_any_moment_the_files_are_what_the_ledger_says(
    site: Site, run: Run, pool: Pool, tmp_path: Path
) -> None:
    chance, staging = random.Random(20), tmp_path / "exports" / STAGING
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
        await travel(pool, staging, 60)
    last = run("work")
    await until(pool, "select not exists (select from postroom.delivery)")
    ids = Counter(str(row["id"]) for row in await pool.fetch("select id from postroom.message"))
    assert await site.read(pool) == ids
    kill(last)
    await travel(pool, staging, 3_600)

    files = len(await site.listed(pool))
    await look_after(run, pool, staging, chance, killed=2)
    assert await site.read(pool) == ids
    assert len(await site.listed(pool)) < files

    (staging / "left").write_bytes(f'{{"email": "{ADA}'.encode())  # who wrote it was killed at half of it
    erased = run("erase", "--email", ADA)
    assert await asyncio.to_thread(erased.wait) == 0
    await look_after(run, pool, staging, chance, killed=2)
    assert (await site.read(pool)).total() == ids.total() - 8
    assert await site.hits(ADA) == 0
    assert await pool.fetchval("select count(*) from postroom.export_file where delete_at is not null") == 0
