"""A backup restored later sends nothing again that its ledger knows as sent; its ledger still adds up."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from postroom.base.db import Pool, open_pool
from postroom.outbox.ledger.balance import Balance, check_ledger
from postroom.postgres.binaries import Binaries, find_binaries
from postroom.postgres.server import LocalPostgres
from tests.fixtures.engine import Engine, ScriptedAdapter, email

COMMAND_S = 60.0
# Each block writes in a subtransaction, which takes a transaction id.
AGE = """
do $$ begin
    create temporary table taken (n integer) on commit drop;
    for n in 1..3000 loop
        begin
            insert into taken values (n);
        exception when division_by_zero then null;
        end;
    end loop;
end $$
"""
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Restored:
    """`sent_before`: keys the ledger knew as sent when it was backed up; `sent_after`: sent since then."""

    dsn: str
    sent_before: frozenset[str]
    sent_after: frozenset[str]
    open: frozenset[str]


def keys(adapter: ScriptedAdapter) -> frozenset[str]:
    return frozenset(claim.key or "" for claim in adapter.seen)


async def binaries_for(dsn: str) -> Binaries:
    """Tools that can read this server. Skips where only older ones are there."""
    conn = await asyncpg.connect(dsn)
    major = conn.get_server_version().major
    await conn.close()
    for binaries in find_binaries():
        if binaries.major >= major and (binaries.bin_dir / "pg_dump").is_file():
            return binaries
    pytest.skip(f"there is no pg_dump for PostgreSQL {major} here")


def call(program: Path, *arguments: str) -> None:
    done = subprocess.run(
        [str(program), *arguments], capture_output=True, text=True, timeout=COMMAND_S, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
async def new_cluster(dsn: str, tmp_path: Path) -> AsyncIterator[LocalPostgres]:
    """Another server, whose transaction ids start low."""
    server = LocalPostgres(tmp_path / "restored", binaries=await binaries_for(dsn))
    await asyncio.to_thread(server.start)
    yield server
    await asyncio.to_thread(server.stop)


@pytest.fixture
async def restored(dsn: str, pool: Pool, new_cluster: LocalPostgres, tmp_path: Path) -> Restored:
    """Ten sent, one claimed by a worker that will be gone, nine open; five more sent after the backup."""
    await pool.execute(AGE)
    engine = await Engine(dsn, pool, ScriptedAdapter()).start()
    await engine.publish(email(f"sent-{n}") for n in range(10))
    await engine.drain()
    sent_before = keys(engine.adapter)
    await engine.publish([email("claimed")])
    [claimed] = await engine.claim()
    await engine.publish(email(f"open-{n}") for n in range(9))
    assert (await check_ledger(pool)).drift == 0
    tools = (await binaries_for(dsn)).bin_dir
    backup = tmp_path / "backup"
    call(tools / "pg_dump", "--format=custom", f"--file={backup}", dsn)

    other = await Engine(dsn, pool, ScriptedAdapter()).start()
    for claim in await other.claim(5):
        other.adapter.seen.append(claim)
    conn = await asyncpg.connect(new_cluster.dsn)
    for role in await pool.fetch("select rolname from pg_roles where starts_with(rolname, 'postroom_')"):
        await conn.execute(f"create role {role['rolname']} nologin")
    await conn.close()
    call(tools / "pg_restore", "--exit-on-error", f"--dbname={new_cluster.dsn}", str(backup))
    assert claimed.key == "claimed"
    return Restored(
        dsn=new_cluster.dsn,
        sent_before=sent_before,
        sent_after=keys(other.adapter),
        open=frozenset({"claimed", *(f"open-{n}" for n in range(9))}),
    )


async def test_what_the_ledger_knows_as_sent_is_not_sent_again(restored: Restored) -> None:
    pool = await open_pool(restored.dsn)
    engine = await Engine(restored.dsn, pool, ScriptedAdapter()).start()
    await engine.travel(DAY_S)
    await engine.worker.beat()
    await engine.rescuer.rescue()
    await engine.drain()
    again = keys(engine.adapter)
    assert again == restored.open
    assert not again & restored.sent_before
    # What it cannot know: these left after the backup, and leave once more, under the same ids.
    assert len(restored.sent_after) == 5
    assert restored.sent_after <= again
    await pool.close()


async def test_the_ledger_adds_up_in_another_cluster(restored: Restored) -> None:
    pool = await open_pool(restored.dsn)
    engine = await Engine(restored.dsn, pool, ScriptedAdapter()).start()
    old_fold = await pool.fetchval("select xid from postroom.ledger_fold")
    assert old_fold > await pool.fetchval("select pg_current_xact_id()::text::bigint")
    await engine.publish(email(f"new-{n}") for n in range(3))
    assert await check_ledger(pool) == Balance(published=23, delivered=10, open=13, dead=0, cancelled=0)
    await engine.publish(email(f"newer-{n}") for n in range(4))
    await engine.drain()
    for _ in range(3):
        assert (await check_ledger(pool)).drift == 0
    assert (await check_ledger(pool)).published == 27
    assert await pool.fetchval("select count(*) from postroom.message where xid >= $1", old_fold) == 0
    await pool.close()


async def test_a_drift_that_was_known_is_not_forgotten(restored: Restored) -> None:
    pool = await open_pool(restored.dsn)
    await pool.execute("update postroom.ledger_check set published = published + 2")
    assert (await check_ledger(pool)).drift == 2
    await pool.close()


async def test_old_code_works_on_while_a_migration_adds_to_the_schema(dsn: str, pool: Pool) -> None:
    """Statements are prepared and cached on both sides of it, and the revision is one it does not know."""
    engine = await Engine(dsn, pool, ScriptedAdapter()).start()
    await engine.publish(email(f"before-{n}") for n in range(50))
    await engine.drain()
    working = asyncio.create_task(publish_and_drain(engine, 200))
    for table in ("message", "delivery", "attempt", "dead_letter", "worker"):
        await pool.execute(f"alter table postroom.{table} add column of_the_next_version text default 'x'")
    await pool.execute("create index on postroom.delivery (of_the_next_version)")
    await pool.execute("update postroom.alembic_version set version_num = '9999_next'")
    await working
    assert len(keys(engine.adapter)) == 250
    assert (await check_ledger(pool)).drift == 0


async def publish_and_drain(engine: Engine, count: int) -> None:
    for n in range(count):
        await engine.publish([email(f"during-{n}")])
        await engine.drain()
