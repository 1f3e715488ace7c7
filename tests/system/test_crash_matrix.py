"""The crash matrix of ARCHITECTURE.md, a test a row: killed at that moment, mended as the row says.

Runners are real processes, killed by SIGKILL while a receiver holds their request, or while a lock
holds their commit.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest

from postroom.base.db import Pool, open_pool
from postroom.base.migrate import migrate
from postroom.dev.receiver import Receiver
from postroom.dev.stripe_events import encode, signed, snapshot_event
from postroom.postgres.server import LocalPostgres
from tests.fixtures.engine import TRAVEL, Engine, ScriptedAdapter, email
from tests.fixtures.links import linked
from tests.processes.commands import environment

WAIT_S = 60.0
POLL_S = 0.02
SECRET = "whsec_of_the_crash_matrix"

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


@pytest.fixture
def start(dsn: str, tmp_path: Path) -> Iterator[Start]:
    """Start a module as a process; whatever still runs is killed in the end."""
    started: list[subprocess.Popen[bytes]] = []

    def run(*command: str, **more: str) -> subprocess.Popen[bytes]:
        settings = {
            "POSTROOM_DATABASE_URL": dsn, "POSTROOM_STATE_DIR": str(tmp_path / "state"),
            "POSTROOM_WEBHOOK__ALLOW_PRIVATE": "true", "POSTROOM_LOG_JSON": "true",
            "POSTROOM_STRIPE__WEBHOOK_SECRETS": SECRET, **more,
        }  # fmt: skip
        with (tmp_path / f"log-{len(started)}").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *command], env=environment(tmp_path, settings),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(WAIT_S):
        while True:
            met = condition()
            if await met if asyncio.iscoroutine(met) else met:
                return
            await asyncio.sleep(POLL_S)


async def publish(conn: Any, receiver: Receiver, key: str = "k") -> None:
    payload = {"url": receiver.url(), "type": "t", "data": {"key": key}}
    await conn.execute("select postroom.publish('webhook', $1::jsonb, key => $2)", json.dumps(payload), key)


async def count(pool: Pool, what: str) -> int:
    counted: int = await pool.fetchval(f"select count(*) from postroom.{what}")
    return counted


async def travel(pool: Pool, seconds: float = 60) -> None:
    """Past the heartbeat of whoever is dead, and to the next attempt."""
    for statement in TRAVEL:
        await pool.execute(statement, seconds)


def kill(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


async def delivered(pool: Pool) -> bool:
    return not await count(pool, "delivery")


async def test_before_the_publishers_commit_nothing_is_there(
    dsn: str, pool: Pool, receiver: Receiver
) -> None:
    conn = await asyncpg.connect(dsn)
    await conn.execute("begin")
    await publish(conn, receiver)
    conn.terminate()
    await until(lambda: no_other_session(pool))
    assert await count(pool, "message") == 0


async def no_other_session(pool: Pool) -> bool:
    sessions: int = await pool.fetchval(
        "select count(*) from pg_stat_activity where datname = current_database() and state like 'idle in%'"
    )
    return sessions == 0


async def test_after_the_publishers_commit_the_next_claim_finds_it(
    dsn: str, pool: Pool, receiver: Receiver, start: Start
) -> None:
    conn = await asyncpg.connect(dsn)
    await publish(conn, receiver)
    conn.terminate()
    start("postroom", "work")
    await until(lambda: delivered(pool))
    assert len(receiver.received) == 1


async def test_stripe_before_and_after_the_commit(
    dsn: str, pool: Pool, start: Start, unused_tcp_port: int
) -> None:
    """Before it: nothing is there. After it, without the 200: the event, and then a duplicate."""
    port = str(unused_tcp_port)
    session = aiohttp.ClientSession(f"http://127.0.0.1:{port}")
    async with linked(dsn) as (link, through), session as client:
        serving = {"POSTROOM_PORT": port, "POSTROOM_DATABASE_URL": through}
        api = start("postroom", "serve", **serving)
        await until(lambda: ready(client))
        lock = await pool.acquire()
        locked = lock.transaction()
        await locked.start()
        await lock.execute("lock table postroom.message in share row exclusive mode")
        sending = asyncio.create_task(send(client))
        await until(lambda: waits_for_lock(pool))
        kill(api)
        assert await sending == 0
        # PostgreSQL would go on with a statement that it has: its session crashes, too.
        await pool.execute(END_WAITING)
        await until(lambda: nobody_waits(pool))
        await locked.rollback()
        await pool.release(lock)
        await until(lambda: no_other_session(pool))
        assert await count(pool, "stripe_event") == 0

        api = start("postroom", "serve", **serving)
        await until(lambda: ready(client))
        link.deaf_from = b"evt_1"  # one statement is one transaction: its answer comes after the commit
        unanswered = asyncio.create_task(send(client))
        await until(lambda: count(pool, "stripe_event"))
        kill(api)
        assert await unanswered == 0
        link.deaf, link.deaf_from = False, None
        api = start("postroom", "serve", **serving)
        await until(lambda: ready(client))
        assert await send(client) == 200
        assert await send(client) == 200
        assert await count(pool, "stripe_event") == 1
        kill(api)


async def ready(client: aiohttp.ClientSession) -> bool:
    try:
        async with client.get("/readyz?exclude=jobs") as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


async def send(client: aiohttp.ClientSession) -> int:
    """Returns: the status, or 0 when there was no answer."""
    body = encode(snapshot_event("invoice.paid", {"id": "in_1", "object": "invoice"}, event_id="evt_1"))
    try:
        async with client.post("/v1/stripe/webhook", data=body, headers=signed(body, SECRET)) as answer:
            return answer.status
    except aiohttp.ClientError:
        return 0


END_WAITING = """
select pg_terminate_backend(pid) from pg_stat_activity
where datname = current_database() and wait_event_type = 'Lock'
"""


async def nobody_waits(pool: Pool) -> bool:
    return not await waits_for_lock(pool)


async def waits_for_lock(pool: Pool) -> bool:
    return bool(
        await pool.fetchval(
            "select count(*) from pg_stat_activity"
            " where datname = current_database() and wait_event_type = 'Lock'"
        )
    )


async def test_after_a_claim_and_before_the_attempt_it_is_freed_and_sent_once(
    pool: Pool, start: Start, unused_tcp_port: int
) -> None:
    """The place of the receiver is taken by nobody who reads: nothing of the attempt has arrived anywhere."""
    silence = socket.create_server(("127.0.0.1", unused_tcp_port), backlog=0)
    receiver = Receiver(port=unused_tcp_port)
    await publish(pool, receiver)
    victim = start("postroom", "work")
    await until(lambda: count(pool, "delivery where worker is not null"))
    kill(victim)
    silence.close()
    async with receiver:
        await travel(pool)
        start("postroom", "work")
        await until(lambda: delivered(pool))
        assert len(receiver.received) == 1
    assert await count(pool, "attempt where outcome = 'abandoned'") == 1
    assert await count(pool, "attempt where outcome = 'delivered' and attempt = 1") == 1


async def test_after_a_claim_and_before_settling_it_is_sent_again_with_the_same_id(
    pool: Pool, receiver: Receiver, start: Start
) -> None:
    """The receiver has it and has not answered: nobody can know, so it goes out again, one attempt spent."""
    receiver.behaviour = "silent"
    await publish(pool, receiver)
    victim = start("postroom", "work")
    await receiver.wait_for(1, timeout_s=WAIT_S)
    kill(victim)
    receiver.behaviour = "ok"
    assert await count(pool, "delivery where worker is not null") == 1
    await travel(pool)
    start("postroom", "work")
    await until(lambda: delivered(pool))
    first, second = receiver.received
    assert first.id == second.id
    assert await count(pool, "attempt where outcome = 'abandoned'") == 1
    assert await count(pool, "attempt where outcome = 'delivered'") == 1


async def test_while_settling_it_is_all_or_nothing(pool: Pool, receiver: Receiver, start: Start) -> None:
    await publish(pool, receiver)
    lock = await pool.acquire()
    locked = lock.transaction()
    await locked.start()
    await lock.execute("lock table postroom.tally in share mode")
    victim = start("postroom", "work")
    await receiver.wait_for(1, timeout_s=WAIT_S)
    await until(lambda: waits_for_lock(pool))
    kill(victim)
    await pool.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where datname = current_database() and application_name like 'postroom %'"
    )
    await locked.rollback()
    await pool.release(lock)
    assert await count(pool, "attempt") == 0
    assert await count(pool, "delivery where worker is not null") == 1
    await travel(pool)
    start("postroom", "work")
    await until(lambda: delivered(pool))
    assert len({received.id for received in receiver.received}) == 1
    assert len(receiver.received) == 2


async def test_a_stopped_worker_that_wakes_up_settles_nothing(
    pool: Pool, receiver: Receiver, start: Start
) -> None:
    receiver.behaviour = "slow/2"
    await publish(pool, receiver)
    zombie = start("postroom", "work")
    await receiver.wait_for(1, timeout_s=WAIT_S)
    zombie.send_signal(signal.SIGSTOP)
    await travel(pool)
    start("postroom", "work")
    await until(lambda: delivered(pool))
    zombie.send_signal(signal.SIGCONT)
    await until(lambda: came_back(pool))
    assert await count(pool, "attempt where outcome = 'delivered'") == 1
    assert len({received.id for received in receiver.received}) == 1


async def came_back(pool: Pool) -> bool:
    """Under a new id: the first and the second are older."""
    return bool(await pool.fetchval("select max(id) >= 3 from postroom.worker"))


async def test_while_an_export_file_is_written_the_same_file_is_written_again(
    pool: Pool, start: Start, tmp_path: Path
) -> None:
    await pool.execute(
        "select postroom.publish('export', key => n::text, payload =>"
        "   jsonb_build_object('dataset', 'd', 'record', jsonb_build_object('n', n)))"
        " from generate_series(1, 5) n"
    )
    lock = await pool.acquire()
    locked = lock.transaction()
    await locked.start()
    await lock.execute("lock table postroom.tally in share mode")
    victim = start("postroom", "work", POSTROOM_EXPORTS__ROLL_S="1")
    written = tmp_path / "state"
    await until(lambda: [*written.rglob("*.ndjson.gz")])
    kill(victim)
    files = sorted(written.rglob("*.ndjson.gz"))
    await locked.rollback()
    await pool.release(lock)
    await until(lambda: no_other_session(pool))
    await travel(pool)
    start("postroom", "work", POSTROOM_EXPORTS__ROLL_S="1")
    await until(lambda: delivered(pool))
    assert files == sorted(written.rglob("*.ndjson.gz"))


async def test_when_the_database_restarts_claims_are_kept_and_settled_later(
    dsn: str, pool: Pool, receiver: Receiver, start: Start
) -> None:
    """All sessions end, and nobody is let in until the receiver has answered."""
    async with linked(dsn) as (link, through):
        receiver.behaviour = "slow/1"
        await publish(pool, receiver)
        start("postroom", "work", POSTROOM_DATABASE_URL=through)
        await receiver.wait_for(1, timeout_s=WAIT_S)
        await link.shut()
        assert await count(pool, "delivery where worker is not null") == 1
        await asyncio.sleep(1.5)  # the answer comes while the database is away: that is the case to try
        await link.open()
        await until(lambda: delivered(pool))
        assert len(receiver.received) == 1
    assert await count(pool, "attempt where outcome = 'delivered'") == 1


async def test_a_claim_survives_a_crash_of_the_server(tmp_path: Path) -> None:
    """Else it is sent again, and if its runner is gone, too, no attempt says why."""
    settings = {"wal_writer_delay": "10s"}  # nobody else writes it in time
    with LocalPostgres(tmp_path, settings=settings) as server:
        await migrate(server.dsn)
        pool = await open_pool(server.dsn)
        engine = await Engine(server.dsn, pool, ScriptedAdapter()).start()
        await engine.publish([email("k")])
        await engine.claim()
        os.kill(server.state.pid, signal.SIGKILL)
        pool.terminate()
    with LocalPostgres(tmp_path) as server:
        pool = await open_pool(server.dsn)
        assert await count(pool, "delivery where worker is not null") == 1
        await pool.close()


async def test_when_the_last_runner_is_gone_readyz_says_so(
    pool: Pool, start: Start, unused_tcp_port: int
) -> None:
    runner = start("postroom", "work")
    await until(lambda: count(pool, "worker"))
    kill(runner)
    start("postroom", "serve", POSTROOM_PORT=str(unused_tcp_port))
    async with aiohttp.ClientSession(f"http://127.0.0.1:{unused_tcp_port}") as client:
        await until(lambda: ready(client))
        await pool.execute("update postroom.job set beat_at = now() - interval '6 minutes'")
        await until(lambda: says(client, 503))


async def says(client: aiohttp.ClientSession, status: int) -> bool:
    async with client.get("/readyz") as answer:
        return answer.status == status
