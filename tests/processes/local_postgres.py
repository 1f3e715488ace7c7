"""Processes for the tests of the local PostgreSQL: parents to kill, users to be, binaries to fake."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from postroom.postgres.binaries import Binaries
from postroom.postgres.state import RunningPostgres

ROOT = Path(__file__).resolve().parents[2]
GONE_S = 10.0

# A parent that starts the server in a thread which ends at once, and has a forked child that
# inherits the held pipe: neither may end the server early nor keep it alive.
PARENT = """
import json, os, sys, threading, time
from dataclasses import asdict
from pathlib import Path
from postroom.postgres.server import LocalPostgres
server = LocalPostgres(Path(sys.argv[1]), flavour=sys.argv[2])
thread = threading.Thread(target=server.start)
thread.start(); thread.join()
forked = os.fork()
if forked == 0:
    time.sleep(60)
    os._exit(0)
print(json.dumps({"forked": forked, "state": asdict(server.state)}), flush=True)
time.sleep(60)
"""

# What an ordinary user does, start to stop.
ORDINARY = """
import asyncio, asyncpg, json, os, sys
from pathlib import Path
from postroom.postgres.server import LocalPostgres
async def ask(dsn):
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        return await connection.fetchval("select current_user || ' ' || current_database()")
    finally:
        await connection.close()
with LocalPostgres(Path(sys.argv[1]), flavour=sys.argv[2]) as server:
    owner = os.stat(f"/proc/{server.state.pid}").st_uid
    spaces = {os.readlink(f"/proc/{who}/ns/user") for who in ("self", server.state.pid)}
    print(json.dumps({"answer": asyncio.run(ask(server.dsn)), "owner": owner, "namespaces": len(spaces)}))
"""


def wait_until(condition: Callable[[], bool], *, limit_s: float = GONE_S) -> bool:
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def fetch(dsn: str, statement: str) -> Any:
    with psycopg.connect(dsn, connect_timeout=10) as connection:
        row = connection.execute(statement.encode()).fetchone()
    return row[0] if row else None


def write(dsn: str, statement: str) -> None:
    with psycopg.connect(dsn, connect_timeout=10) as connection:
        connection.execute(statement.encode())


def refuses_connections(state: RunningPostgres) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", state.port)) != 0


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def environment(*more: str) -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": os.pathsep.join([str(ROOT), *more])}


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def fake_binaries(folder: Path, real: Binaries, *, initdb: str) -> Binaries:
    """The real server, but an initdb of our making."""
    folder.mkdir()
    script(folder / "initdb", initdb)
    script(folder / "postgres", f'exec "{real.bin_dir}/postgres" "$@"')
    return Binaries(bin_dir=folder, major=real.major, version=real.version, flavour="machine")
