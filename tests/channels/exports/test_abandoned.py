"""What a killed attempt put into the storage, and nobody will list, is deleted before its row."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest

from postroom.admin.audit import Actor
from postroom.admin.erasure import erase, person
from postroom.admin.tokens import Scope
from postroom.base.db import Pool, transaction
from postroom.channels.exports.adapter import ExportAdapter
from postroom.channels.exports.folder import STAGING, STAGING_MAX_S
from postroom.channels.exports.replacing import COMPACTED_GRACE_S
from postroom.channels.exports.store import prune_records
from postroom.outbox.model import Message
from tests.channels.exports.conftest import Crash, Open
from tests.channels.exports.test_replacing import ADA, CREATED, erase_ada, export, hits, objects, upkeep
from tests.fixtures.engine import AdapterEngine
from tests.fixtures.roles import pool_as
from tests.fixtures.watched_storage import WatchedStorage


async def crash() -> None:
    raise Crash


async def killed_once_it_is_put(runner: AdapterEngine, storage: WatchedStorage, *emails: str) -> None:
    """The records share a file, which is stored, and the ledger does not know."""
    payloads = [{"dataset": "orders", "record": {"created": CREATED, "email": email}} for email in emails]
    await runner.publish([Message(channel="export", payload=payload, tenant="t") for payload in payloads])
    assert isinstance(runner.adapter, ExportAdapter)
    claims = await runner.claim(10)
    storage.after = crash
    with pytest.raises(Crash):
        await runner.adapter.deliver_batch(claims)
    storage.after = None
    await runner.bury()


async def cancel_and_erase_ada(pool: Pool) -> None:
    await erase(
        lambda: transaction(pool_as(pool, "api")),
        who=person(ADA),
        cancel_open=True,
        time_max_s=60,
        actor=Actor("test", scopes=frozenset(Scope)),
    )


async def test_who_was_erased_is_in_no_object_that_no_manifest_lists(
    open_runner: Open, root: Path, pool: Pool, storage: WatchedStorage
) -> None:
    await killed_once_it_is_put(await open_runner(), storage, ADA)
    assert hits(root, "ndjson") == 1
    await pool.execute("delete from postroom.worker")
    await cancel_and_erase_ada(pool)
    runner = await open_runner()
    await upkeep(runner)
    assert hits(root, "ndjson") == 1  # what was sent before the crash may still arrive
    assert await pool.fetchval("select count(*) from postroom.export_file") == 1
    await runner.travel(ExportAdapter.timeout_s)
    await upkeep(runner)
    assert objects(root) == []
    assert await pool.fetchval("select count(*) from postroom.export_file") == 0


@pytest.mark.rows_by_hand
async def test_a_dead_letter_of_the_same_file_does_not_keep_who_was_erased(
    open_runner: Open, root: Path, pool: Pool, storage: WatchedStorage
) -> None:
    """A replay of it makes another file."""
    await killed_once_it_is_put(await open_runner(), storage, ADA, "x@y.org")
    [before] = objects(root)
    ended = await pool.fetchval(
        "delete from postroom.delivery d using postroom.message m"
        " where m.id = d.message_id and m.payload #>> '{record,email}' = 'x@y.org' returning message_id"
    )
    await pool.execute(
        """insert into postroom.dead_letter
               (message_id, n, seq, channel, destination, attempts, cause, fingerprint, reason)
           values ($1, 0, 1, 'export', 'orders', 1, 'ours', 'f', 'r')""",
        ended,
    )
    await pool.execute("update postroom.delivery set worker = null, claimed_at = null")
    await cancel_and_erase_ada(pool)
    runner = await open_runner()
    await runner.travel(ExportAdapter.timeout_s)
    await upkeep(runner)
    assert not before.exists()
    assert await pool.fetchval("select count(*) from postroom.export_record") == 0


@pytest.mark.rows_by_hand
async def test_retention_has_the_object_deleted_before_the_row(
    open_runner: Open, root: Path, pool: Pool, storage: WatchedStorage
) -> None:
    runner = await open_runner()
    await killed_once_it_is_put(runner, storage, ADA)
    await pool.execute("delete from postroom.delivery")
    await pool.execute("update postroom.export_file set opened_at = now() - interval '40 days'")
    async with transaction(runner.runner) as conn:
        assert await prune_records(conn, days=30, limit=10) == 1
        assert await prune_records(conn, days=30, limit=10) == 0
    await upkeep(runner)
    assert len(objects(root)) == 1  # what was sent before the crash may still arrive
    await runner.travel(ExportAdapter.timeout_s)
    storage.before = crash
    with pytest.raises(Crash):
        await upkeep(runner)
    storage.before = None
    assert await pool.fetchval("select count(*) from postroom.export_file") == 1
    await upkeep(runner)
    assert objects(root) == []
    assert await pool.fetchval("select count(*) from postroom.export_file") == 0


async def test_a_replacement_of_which_nothing_is_left_leaves_no_object(
    open_runner: Open, root: Path, pool: Pool, storage: WatchedStorage
) -> None:
    """Killed once the new file is put; by the next attempt everybody in it was erased."""
    runner = await open_runner()
    await export(runner, {"email": ADA}, {"email": ADA})
    storage.after = crash
    with suppress(Crash):
        await upkeep(runner, requested=True, files_min=2)
    storage.after = None
    assert hits(root, "ndjson") == 3
    await erase_ada(pool)
    for _ in range(2):
        await runner.travel(COMPACTED_GRACE_S)
        await upkeep(runner, requested=True)
    assert objects(root) == []


async def test_what_a_killed_writer_left_in_staging_goes_though_nothing_is_exported(
    open_runner: Open, root: Path
) -> None:
    runner = await open_runner()
    await upkeep(runner)  # nothing was ever exported there
    await export(runner, {"n": 1})
    old, fresh = root / STAGING / "old", root / STAGING / "fresh"
    for leftover in (old, fresh):
        leftover.write_bytes(b"")
    long_ago = fresh.stat().st_mtime - STAGING_MAX_S - 60
    os.utime(old, (long_ago, long_ago))
    await upkeep(runner)
    assert [*(root / STAGING).iterdir()] == [fresh]


async def test_a_record_whose_file_is_given_up_while_it_is_written_gets_another(
    open_runner: Open, root: Path, pool: Pool, storage: WatchedStorage
) -> None:
    """It is not delivered by an object that is to be deleted."""
    runner = await open_runner()

    async def give_up() -> None:
        storage.before = None
        await pool.execute("update postroom.export_file set delete_at = now()")
        await pool.execute("delete from postroom.export_record")

    storage.before = give_up
    await export(runner, {"email": ADA})
    rows = await pool.fetch("select outcome from postroom.attempt order by ended_at")
    assert [row["outcome"] for row in rows] == ["retry", "delivered"]
    assert hits(root, "ndjson") == 2
    await upkeep(runner)
    [path] = objects(root)
    assert path.name in (path.parent / "_manifest.json").read_text()
