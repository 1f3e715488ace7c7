"""Records reach exactly one file, whatever crashes and whoever else is at work."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from postroom.base.clock import SystemClock
from postroom.base.db import Pool, transaction
from postroom.base.export_settings import ExportSettings
from postroom.channels.exports.adapter import ExportAdapter
from postroom.channels.exports.budget import FILES_AT_ONCE, Budget
from postroom.channels.exports.folder import FolderStorage
from postroom.channels.exports.model import FILE_BYTES_MAX
from postroom.channels.exports.store import list_memberships, prune_records
from postroom.outbox.model import (
    Answer,
    BatchAdapter,
    Cause,
    Claim,
    Deferred,
    Delivered,
    Message,
    Rejected,
    RetryLater,
    Wait,
)
from postroom.outbox.publish import publish_many
from tests.channels.exports.conftest import until_somebody_waits_for_a_lock
from tests.factories.claims import make_claim
from tests.fixtures.roles import pool_as
from tests.fixtures.watched_storage import WatchedStorage

Make = Callable[..., ExportAdapter]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "exports"


@pytest.fixture
def storage(root: Path) -> WatchedStorage:
    return WatchedStorage(root)


@pytest.fixture
def make(pool: Pool, tmp_path: Path, storage: WatchedStorage) -> Make:
    def adapter(*, records_max: int = 1_000, put_timeout_s: float = 30.0, **settings: Any) -> ExportAdapter:
        return ExportAdapter(
            pool=pool_as(pool, "runner"),
            clock=SystemClock(),
            settings=ExportSettings(records_max=records_max, **{"roll_s": 0, **settings}),
            state_dir=tmp_path,
            storage=storage,
            put_timeout_s=put_timeout_s,
        )

    return adapter


async def publish_claims(pool: Pool, payloads: Sequence[object]) -> list[Claim]:
    """Published for real, then seen as the engine would claim them."""
    messages = [Message(channel="export", payload=p, type="t", tenant="x") for p in payloads]  # type: ignore[arg-type]
    async with transaction(pool) as conn:
        published = await publish_many(conn, messages)
        rows = await conn.fetch(
            """with d as (
                   update postroom.delivery set worker = 1, claim_no = 1, claimed_at = now()
                   where message_id = any ($1::uuid[]) returning *)
               select m.id as message_id, d.destination, d.seq, m.channel, m.type, m.tenant,
                   m.payload::text as payload, date_part('epoch', m.created_at) as created_s
               from postroom.message m join d on d.message_id = m.id""",
            [p.id for p in published],
        )
    claims = {row["message_id"]: make_claim(**row) for row in rows}
    return [claims[p.id] for p in published]


def invoices(count: int, dataset: str = "invoices") -> list[dict[str, Any]]:
    return [{"dataset": dataset, "record": {"number": number}} for number in range(count)]


def read_files(root: Path) -> dict[str, list[dict[str, Any]]]:
    return {
        str(path.relative_to(root)): [
            json.loads(text) for text in gzip.decompress(path.read_bytes()).splitlines()
        ]
        for path in sorted(root.rglob("*.ndjson.gz"))
    }


def ids_in(root: Path) -> list[str]:
    return sorted(line["id"] for lines in read_files(root).values() for line in lines)


def ids_of(claims: Sequence[Claim]) -> list[str]:
    return sorted(str(claim.message_id) for claim in claims)


def all_delivered(answers: Sequence[Answer]) -> bool:
    return all(isinstance(answer, Delivered) for answer in answers)


async def test_records_of_a_dataset_share_a_file_that_reads_back(make: Make, pool: Pool, root: Path) -> None:
    claims = await publish_claims(pool, [*invoices(3), *invoices(2, "customers")])
    assert all_delivered(await make().deliver_batch(claims))

    customers, bills = read_files(root).items()
    assert customers[0].startswith("customers/x/dt=")
    assert bills[0].startswith("invoices/x/dt=")
    assert [line["record"] for line in bills[1]] == [{"number": 0}, {"number": 1}, {"number": 2}]
    assert [line["id"] for line in customers[1]] == [str(claim.message_id) for claim in claims[3:]]
    assert {"id", "type", "tenant", "created_at", "record"} == bills[1][0].keys()

    row = await pool.fetchrow("select * from postroom.export_file where dataset = 'invoices'")
    content = (root / bills[0]).read_bytes()
    assert row is not None
    assert (row["path"], row["records"], row["size_bytes"]) == (bills[0], 3, len(content))
    assert row["sha256"] == hashlib.sha256(content).digest()


async def test_a_bad_record_is_rejected_alone(make: Make, pool: Pool, root: Path) -> None:
    bad: list[object] = [{"dataset": "../../etc", "record": {}}, {"dataset": "a"}, ["list"]]
    claims = await publish_claims(pool, [*invoices(1), *bad, *invoices(1)])
    first, *refused, last = await make().deliver_batch(claims)
    assert all_delivered([first, last])
    assert all(isinstance(answer, Rejected) for answer in refused)
    assert ids_in(root) == ids_of([claims[0], claims[-1]])
    assert {"invoices", ".staging"} == {entry.name for entry in root.iterdir()}  # noqa: ASYNC240


async def test_one_claim_is_a_batch_of_one(make: Make, pool: Pool, root: Path) -> None:
    [claim] = await publish_claims(pool, invoices(1))
    adapter = make()
    assert isinstance(adapter, BatchAdapter)  # or the engine would hand over claims one by one
    assert isinstance(await adapter.deliver(claim), Delivered)
    assert ids_in(root) == ids_of([claim])


async def test_a_crash_between_write_and_mark_doubles_nothing(
    make: Make, pool: Pool, root: Path, storage: WatchedStorage
) -> None:
    claims = await publish_claims(pool, invoices(4))
    task = asyncio.create_task(make().deliver_batch(claims))

    async def crash() -> None:
        task.cancel()
        await asyncio.sleep(0)

    storage.after = crash
    with pytest.raises(asyncio.CancelledError):
        await task
    storage.after = None
    [path] = read_files(root)
    first = (root / path).read_bytes()
    assert await pool.fetchval("select stored_at is null from postroom.export_file")

    # After the crash the claims come back in pieces, and with newer records beside them.
    newer = await publish_claims(pool, invoices(1))
    assert all_delivered(await make().deliver_batch([*newer, *claims[2:]]))
    assert all_delivered(await make().deliver_batch(claims[:2]))
    assert (root / path).read_bytes() == first
    assert len(read_files(root)) == 2
    assert ids_in(root) == ids_of([*claims, *newer])
    assert storage.paths.count(path) == 2


async def test_a_crash_between_assignment_and_write_loses_and_doubles_nothing(
    make: Make, pool: Pool, root: Path, storage: WatchedStorage
) -> None:
    claims = await publish_claims(pool, invoices(4))

    async def crash() -> None:
        raise asyncio.CancelledError

    storage.before = crash
    with pytest.raises(asyncio.CancelledError):
        await make().deliver_batch(claims)
    storage.before = None
    assert read_files(root) == {}
    assert await pool.fetchval("select records from postroom.export_file") == 4

    assert all_delivered(await make().deliver_batch(claims[:1]))
    assert ids_in(root) == ids_of(claims)  # the whole file, not only the claim at hand
    assert all_delivered(await make().deliver_batch(claims[1:]))
    assert len(storage.paths) == 2


async def test_what_is_stored_is_not_written_again(make: Make, pool: Pool, storage: WatchedStorage) -> None:
    claims = await publish_claims(pool, invoices(2))
    await make().deliver_batch(claims)
    assert all_delivered(await make().deliver_batch(claims))
    assert len(storage.paths) == 1


async def test_workers_with_overlapping_claims_double_nothing(make: Make, pool: Pool, root: Path) -> None:
    claims = await publish_claims(pool, [*invoices(40), *invoices(40, "customers")])
    parts = [claims[start : start + 40] for start in range(0, 80, 8)]
    answers = await asyncio.gather(*(make(records_max=7).deliver_batch(part) for part in parts))
    assert all(all_delivered(part) for part in answers)
    assert ids_in(root) == ids_of(claims)
    assert (
        await pool.fetchval("select sum(records) from postroom.export_file where stored_at is not null") == 80
    )


async def test_a_record_being_assigned_elsewhere_is_waited_for_and_left_there(
    make: Make, pool: Pool, root: Path
) -> None:
    claims = await publish_claims(pool, invoices(3))
    async with transaction(pool) as conn:
        other = await conn.fetchval(
            """with f as (insert into postroom.export_file (id, dataset, records)
                          values (postroom.uuid7(), 'invoices', 1) returning id)
               insert into postroom.export_record select $1, f.id, 1 from f returning file_id""",
            claims[1].message_id,
        )
        delivering = asyncio.create_task(make().deliver_batch(claims))
        await until_somebody_waits_for_a_lock(pool)
    assert all_delivered(await delivering)
    assert sorted(map(len, read_files(root).values())) == [1, 2]
    assert ids_in(root) == ids_of(claims)
    async with pool.acquire() as conn:
        membership = await list_memberships(conn, message_ids=[claims[1].message_id])
    assert membership[claims[1].message_id].id == other


async def test_a_failing_file_leaves_the_others_alone(make: Make, pool: Pool, root: Path) -> None:
    in_the_way = root / "customers"
    await FolderStorage(root).put("customers", b"a file where the folder of this dataset should be")
    claims = await publish_claims(pool, [*invoices(1), *invoices(1, "customers")])
    good, failed = await make().deliver_batch(claims)
    assert isinstance(good, Delivered)
    assert isinstance(failed, RetryLater)
    assert failed.cause is Cause.OURS
    in_the_way.unlink()
    assert isinstance(await make().deliver(claims[1]), Delivered)
    assert ids_in(root) == ids_of(claims)


async def test_batches_that_share_a_file_write_it_once(
    make: Make, pool: Pool, storage: WatchedStorage, root: Path
) -> None:
    claims, adapter = await publish_claims(pool, invoices(2)), make()

    async def fail() -> None:
        raise OSError(5, "Input/output error")

    storage.before = fail
    assert all(isinstance(answer, RetryLater) for answer in await adapter.deliver_batch(claims))
    storage.before, storage.paths = None, []
    assert all_delivered(await asyncio.gather(*map(adapter.deliver, claims)))
    assert len(storage.paths) == 1
    assert ids_in(root) == ids_of(claims)


async def test_many_small_files_are_written_together_and_two_large_ones() -> None:
    for size, together in ((1_000, FILES_AT_ONCE), (FILE_BYTES_MAX, 2), (0, 2), (10 * FILE_BYTES_MAX, 1)):
        budget, full = Budget(), asyncio.Event()
        inside = 0

        async def write(size: int = size, budget: Budget = budget, full: asyncio.Event = full) -> None:
            nonlocal inside
            async with budget.take(size):
                inside += 1
                await full.wait()

        tasks = [asyncio.create_task(write()) for _ in range(40)]
        for _ in range(100):
            await asyncio.sleep(0)
        assert inside == together
        full.set()
        await asyncio.gather(*tasks)


async def test_a_storage_that_never_answers_is_given_up_and_tried_later(
    make: Make, pool: Pool, storage: WatchedStorage
) -> None:
    claims = await publish_claims(pool, invoices(1))
    storage.before = asyncio.Event().wait
    [answer] = await make(put_timeout_s=0.05).deliver_batch(claims)
    assert isinstance(answer, RetryLater)
    assert answer.code == "timeout"
    assert await pool.fetchval("select stored_at is null from postroom.export_file")


async def test_no_write_begins_when_the_time_of_a_batch_is_over(
    make: Make, pool: Pool, storage: WatchedStorage
) -> None:
    [claim] = await publish_claims(pool, invoices(1))
    answer = await make(put_timeout_s=10_000.0).deliver(claim)
    assert isinstance(answer, Deferred)
    assert answer.wait is Wait.DESTINATION_FULL
    assert storage.paths == []


async def test_a_database_that_goes_away_is_not_blamed_on_the_storage(
    make: Make, pool: Pool, storage: WatchedStorage
) -> None:
    claims = await publish_claims(pool, invoices(1))

    async def lose_the_database() -> None:
        await pool.execute("alter table postroom.export_file rename to gone")

    storage.after = lose_the_database
    with pytest.raises(asyncpg.UndefinedTableError):
        await make().deliver_batch(claims)


@pytest.mark.rows_by_hand
async def test_pruning_forgets_old_files_and_spares_what_may_still_be_delivered(
    make: Make, pool: Pool
) -> None:
    done, pending, dead = [await publish_claims(pool, invoices(2)) for _ in range(3)]
    fresh = await publish_claims(pool, invoices(1))
    for claims in (done, pending, dead):
        await make().deliver_batch(claims)
    await pool.execute("update postroom.export_file set opened_at = now() - interval '40 days'")
    await make().deliver_batch(fresh)
    gone = [claim.message_id for claim in [*done, *dead, *fresh]]
    await pool.execute("delete from postroom.delivery where message_id = any ($1::uuid[])", gone)
    await pool.execute(
        """insert into postroom.dead_letter
               (message_id, n, seq, channel, destination, attempts, cause, fingerprint, reason)
           values ($1, 0, 1, 'export', 'invoices', 1, 'ours', 'f', 'r')""",
        dead[0].message_id,
    )
    async with transaction(pool) as conn:
        assert await prune_records(conn, days=30, limit=10) == 1
        assert await prune_records(conn, days=30, limit=10) == 0
        kept = await list_memberships(
            conn, message_ids=[c.message_id for c in [*done, *pending, *dead, *fresh]]
        )
    assert kept.keys() == {claim.message_id for claim in [*pending, *dead, *fresh]}
