"""The engine behind a real PgBouncer in transaction mode: nothing may be kept per connection."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from postroom.base.db import Pool, open_pool
from postroom.base.listener import free_port
from postroom.base.migrate import migrate
from postroom.dev.receiver import Receiver
from postroom.worker.model import JobContext
from tests.fixtures.engine import Engine, ScriptedAdapter, email
from tests.processes.commands import environment
from tests.processes.local_postgres import wait_until
from tests.tools import require

NOBODY = 65534


def configure(folder: Path, dsn: str, port: int) -> Path:
    parts = urlsplit(dsn)
    (folder / "users.txt").write_text(f'"{parts.username}" "{parts.password or ""}"\n')
    path = folder / "pgbouncer.ini"
    path.write_text(
        f"[databases]\n{parts.path[1:]} = host=127.0.0.1 port={parts.port} password={parts.password or ''}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = plain\n"
        f"auth_file = {folder}/users.txt\npool_mode = transaction\n"
        f"default_pool_size = 5\nunix_socket_dir =\nlogfile = {folder}/pgbouncer.log\n"
    )
    return path


@pytest.fixture
def pooled_dsn(dsn: str) -> Iterator[str]:
    """The test's database through PgBouncer, which several clients share five connections of."""
    program = require("pgbouncer")
    folder = Path(
        subprocess.check_output(["mktemp", "-d", "/tmp/postroom-bouncer-XXXXXX"], text=True).strip()
    )
    port = free_port()
    path = configure(folder, dsn, port)
    as_root = os.geteuid() == 0
    if as_root:
        for each in (folder, *folder.iterdir()):
            os.chown(each, NOBODY, NOBODY)
    process = subprocess.Popen(
        [program, "-q", str(path)], stdin=subprocess.DEVNULL, user=NOBODY if as_root else None
    )
    try:
        assert wait_until(lambda: _listens(port), limit_s=20), "pgbouncer does not listen"
        parts = urlsplit(dsn)
        netloc = f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{port}"
        yield parts._replace(netloc=netloc).geturl()
    finally:
        process.terminate()
        process.wait(20)
        shutil.rmtree(folder)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def test_work_goes_on_behind_a_transaction_pooler(pooled_dsn: str) -> None:
    pool = await open_pool(pooled_dsn, connections_max=20, pooler=True)
    engine = Engine(pooled_dsn, pool, ScriptedAdapter())
    await engine.start()
    await asyncio.gather(*(engine.publish([email(f"k{i}")]) for i in range(60)))
    assert await engine.drain() == 60
    engine.adapter.gate = asyncio.Event()
    context = JobContext()
    running = asyncio.create_task(engine.relay.run(context))
    await engine.publish([email("late")])
    async with asyncio.timeout(20):
        while len(engine.adapter.seen) < 61:
            await asyncio.sleep(0.01)
    engine.adapter.gate.set()
    context.stop.set()
    engine.wakeup.wake_all()
    await running
    assert {claim.key for claim in engine.adapter.seen} == {f"k{i}" for i in range(60)} | {"late"}
    await pool.close()


async def test_a_runner_works_behind_it_until_it_is_told_to_stop(
    dsn: str, pool: Pool, pooled_dsn: str, tmp_path: Path
) -> None:
    settings = {
        "POSTROOM_DATABASE_URL": pooled_dsn,
        "POSTROOM_DATABASE_POOLER": "true",
        "POSTROOM_WEBHOOK__ALLOW_PRIVATE": "true",
    }
    runner = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "postroom", "work"),
        env=environment(tmp_path, settings),
        stdin=subprocess.DEVNULL,
    )
    try:
        async with Receiver() as receiver, asyncio.timeout(90):
            payload = {"url": receiver.url(), "type": "t", "data": {}}
            await pool.execute("select postroom.publish('webhook', $1::jsonb)", json.dumps(payload))
            await receiver.wait_for(1, timeout_s=60)
            assert runner.returncode is None
            runner.terminate()
            assert await runner.wait() == 0
    finally:
        if runner.returncode is None:
            runner.kill()
            await runner.wait()


async def test_the_schema_is_migrated_through_it_too(pooled_dsn: str) -> None:
    await migrate(pooled_dsn)
