"""What the chaos of a cluster rests on. A cluster itself is too slow here: `make chaos CLUSTER=patroni`."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from chaos.cluster import MissingPrograms, find_programs
from chaos.cluster_faults import open_beats
from chaos.machine import processes_of
from chaos.plan import OF_THE_DATABASE, ClusterKind, Kind, make_plan
from postroom.base.db import open_pool, transaction
from tests.processes.commands import ROOT
from tests.processes.local_postgres import wait_until

STOPPED_S = 0.6


def test_each_fault_comes_once_before_any_comes_again() -> None:
    plan = make_plan(7, length_s=600, possible=list(ClusterKind))
    kinds = [fault.kind for fault in plan]
    assert len(kinds) > len(ClusterKind)
    assert set(kinds[: len(ClusterKind)]) == set(ClusterKind)
    assert plan == make_plan(7, length_s=600, possible=list(ClusterKind))


def test_no_fault_has_two_meanings() -> None:
    """Durations and counts are kept by the names of the faults."""
    assert not {str(kind) for kind in Kind} & {str(kind) for kind in ClusterKind}
    assert set(Kind) > OF_THE_DATABASE


def test_what_is_missing_is_named_with_the_way_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(MissingPrograms, match=r"apt-get install .*etcd-server haproxy patroni"):
        find_programs(str(tmp_path))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, as chaos becomes in a namespace of its own")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_of_a_machine_outlives_the_run(tmp_path: Path, number: signal.Signals) -> None:
    """A process that its parent has forgotten, as PostgreSQL is when Patroni is killed."""
    script = "setsid sleep 600 & setsid sleep 600 & id -un > name; wait"
    run = subprocess.Popen(
        [sys.executable, "-m", "chaos.child", "--parent", str(os.getpid()), "chaos.machine",
         "--home", str(tmp_path), "/bin/sh", "-c", script],
        cwd=ROOT,
    )  # fmt: skip
    try:
        assert wait_until(lambda: len(processes_of(run.pid)) == 3, limit_s=30), "a shell and two that sleep"
        inside = processes_of(run.pid)
        assert (tmp_path / "name").read_text().strip() != "root"
        run.send_signal(number)
        run.wait(30)
        assert wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in inside), limit_s=30)
    finally:
        run.kill()
        run.wait(30)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, as chaos becomes in a namespace of its own")
def test_a_machine_without_its_first_process_has_none() -> None:
    """For a moment at each start, and for ever where the fork fails."""
    code = "import ctypes, sys; ctypes.CDLL(None).unshare(0x20000000); print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as bare:
        assert bare.stdout is not None
        assert bare.stdout.readline() == b"\n"
        assert processes_of(bare.pid) == []


async def test_the_longest_time_without_a_write_is_measured(dsn: str) -> None:
    pool = await open_pool(dsn, connections_max=2)
    async with open_beats(dsn) as beats:
        before = time.monotonic()
        assert await beats.longest_pause_s(before) < STOPPED_S
        async with transaction(pool) as conn:
            await conn.execute("lock table public.chaos_beat")
            await conn.execute("select pg_sleep($1)", STOPPED_S)
        assert await beats.longest_pause_s(before) >= STOPPED_S
        assert await beats.missing(pool) == []
        await pool.execute("delete from public.chaos_beat where n = 1")
        assert await beats.missing(pool) == [1]
    await pool.close()


async def test_a_write_that_is_not_acknowledged_is_not_missed(dsn: str) -> None:
    pool = await open_pool(dsn, connections_max=2)
    async with open_beats(dsn) as beats:
        await beats.longest_pause_s(time.monotonic())
        async with transaction(pool) as conn:
            await conn.execute("lock table public.chaos_beat")
            while not await conn.fetchval("select count(*) from pg_locks where not granted"):
                await asyncio.sleep(0)
            await conn.execute(
                "select pg_terminate_backend(pid) from pg_locks where not granted and pid <> pg_backend_pid()"
            )
        await beats.longest_pause_s(time.monotonic())
        assert await beats.missing(pool) == []
    await pool.close()
