"""A file stays open for a while, nothing is held meanwhile, and it is written under one name."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from postroom.base.clock import SystemClock
from postroom.base.db import Pool, transaction
from postroom.base.export_settings import ExportSettings
from postroom.channels.exports import gather
from postroom.channels.exports import store as exports
from postroom.channels.exports.adapter import ExportAdapter
from postroom.outbox import store
from postroom.outbox.model import Delivered, Message, Settled
from postroom.outbox.policy import delivered
from tests.fixtures.engine import AT_ONCE, AdapterEngine
from tests.fixtures.roles import pool_as
from tests.fixtures.watched_storage import WatchedStorage

WINDOW_S = 300
MIDNIGHT_S = 1_767_225_600
Open = Callable[..., Awaitable[AdapterEngine]]


class Crash(BaseException):
    """Ends a worker at once: nothing catches it."""


@pytest.fixture
def storage(tmp_path: Path) -> WatchedStorage:
    return WatchedStorage(tmp_path / "exports")


@pytest.fixture
def open_runner(dsn: str, pool: Pool, tmp_path: Path, storage: WatchedStorage) -> Open:
    async def open_one(**settings: Any) -> AdapterEngine:
        adapter = ExportAdapter(
            pool=pool_as(pool, "runner"),
            clock=SystemClock(),
            settings=ExportSettings(**{"roll_s": WINDOW_S, **settings}),
            state_dir=tmp_path,
            storage=storage,
        )
        return await AdapterEngine(dsn, pool, adapter, AT_ONCE).start()

    return open_one


def record(number: int, *, dataset: str = "orders", tenant: str = "t", **more: Any) -> Message:
    payload = {"dataset": dataset, "record": {"number": number, "created": MIDNIGHT_S + number}}
    return Message(channel="export", payload=payload, tenant=tenant, **more)


def records(count: int, start: int = 0, **more: Any) -> list[Message]:
    return [record(number, **more) for number in range(start, start + count)]


def written(storage: WatchedStorage) -> dict[str, list[dict[str, Any]]]:
    root = storage.folder._root
    return {
        str(path.relative_to(root)): [json.loads(x) for x in gzip.decompress(path.read_bytes()).splitlines()]
        for path in sorted(root.rglob("*.ndjson.gz"))
    }


def numbers(lines: Iterable[dict[str, Any]]) -> list[int]:
    return [line["record"]["number"] for line in lines]


def ids(storage: WatchedStorage) -> Counter[UUID]:
    return Counter(UUID(line["id"]) for lines in written(storage).values() for line in lines)


async def waiting(pool: Pool) -> int:
    held: int = await pool.fetchval("select count(*) from postroom.delivery where worker is not null")
    assert held == 0
    count: int = await pool.fetchval("select count(*) from postroom.delivery")
    return count


async def test_a_record_a_second_for_an_hour_makes_twelve_files(
    open_runner: Open, pool: Pool, storage: WatchedStorage
) -> None:
    runner, step_s = await open_runner(), 20
    published = []
    for second in range(0, 3_600, step_s):
        published += await runner.publish(records(step_s, second))
        await runner.drain()
        assert await waiting(pool)  # and nothing is late: it is due when its file closes
        assert not await pool.fetchval("select count(*) from postroom.delivery where due_at <= now()")
        await runner.travel(step_s)
    await runner.travel(WINDOW_S)
    await runner.drain()
    assert await waiting(pool) == 0
    assert len(written(storage)) <= 12
    assert len(storage.paths) <= 12  # nothing is written twice
    assert ids(storage) == Counter(published)


async def test_datasets_tenants_and_days_of_a_backlog_have_files_of_their_own(
    open_runner: Open, storage: WatchedStorage
) -> None:
    runner = await open_runner()
    await runner.publish(
        [record(0), record(-1), record(1), record(2, tenant="a/b"), record(3, dataset="other")]
    )
    await runner.drain()
    assert written(storage) == {}
    await runner.travel(WINDOW_S)
    await runner.drain()
    folders = {path.rpartition("/")[0]: numbers(lines) for path, lines in written(storage).items()}
    assert folders == {
        "orders/t/dt=2025-12-31": [-1],
        "orders/t/dt=2026-01-01": [0, 1],
        "orders/a!2Fb/dt=2026-01-01": [2],
        "other/t/dt=2026-01-01": [3],
    }


async def test_records_of_one_key_share_a_file_in_their_order(
    open_runner: Open, pool: Pool, storage: WatchedStorage
) -> None:
    runner = await open_runner()
    await runner.publish(records(6, ordering_key="k"))
    await runner.drain()
    await runner.travel(WINDOW_S)
    await runner.drain()
    assert await waiting(pool) == 0
    assert [numbers(lines) for lines in written(storage).values()] == [[0, 1, 2, 3, 4, 5]]


async def test_what_is_cancelled_before_its_file_closes_is_not_in_it(
    open_runner: Open, pool: Pool, storage: WatchedStorage
) -> None:
    runner = await open_runner()
    first, _ = await runner.publish(records(2))
    await runner.drain()
    async with transaction(pool) as conn:
        assert await store.cancel_message(conn, message_id=first) == 1
    await runner.travel(WINDOW_S)
    await runner.drain()
    assert [numbers(lines) for lines in written(storage).values()] == [[1]]
    assert await pool.fetchval("select records from postroom.export_file") == 1


async def test_what_somebody_wants_now_closes_its_file(
    open_runner: Open, pool: Pool, storage: WatchedStorage
) -> None:
    runner = await open_runner()
    _, second = await runner.publish(records(2))
    await runner.drain()
    async with transaction(pool) as conn:
        await store.mark_due_now(conn, message_id=second)
    await runner.drain()
    assert [numbers(lines) for lines in written(storage).values()] == [[0, 1]]
    assert await waiting(pool) == 0  # also what was not due itself
    await runner.travel(WINDOW_S)
    await runner.drain()
    assert await waiting(pool) == 0
    assert len(storage.paths) == 1


async def test_a_file_without_room_is_stored_before_its_time(
    open_runner: Open, pool: Pool, storage: WatchedStorage
) -> None:
    runner = await open_runner(records_max=5)
    for start in range(0, 12, 4):
        await runner.publish(records(4, start))
        await runner.drain()
    assert [numbers(lines) for lines in written(storage).values()] == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]
    assert await waiting(pool) == 2
    await runner.publish(records(3, 12))
    await runner.drain()
    assert await waiting(pool) == 0, "one that is full does not wait for the next record"
    await runner.publish(records(1, 15))
    await runner.drain()
    assert await waiting(pool) == 1
    await runner.travel(WINDOW_S)
    await runner.drain()
    assert await waiting(pool) == 0
    assert len(storage.paths) == 4


async def test_runners_of_one_window_write_one_file(
    open_runner: Open, pool: Pool, storage: WatchedStorage
) -> None:
    runners = [await open_runner() for _ in range(3)]
    published = await runners[0].publish(records(900))
    await asyncio.gather(*(runner.drain() for runner in runners))
    await runners[0].travel(WINDOW_S)
    await asyncio.gather(*(runner.drain() for runner in runners))
    assert await waiting(pool) == 0
    assert len(written(storage)) == 1
    assert ids(storage) == Counter(published)


async def test_runners_that_have_records_of_one_file_upload_it_once(
    open_runner: Open, pool: Pool, storage: WatchedStorage
) -> None:
    """And what neither of them has claimed is settled with it."""
    runners = [await open_runner() for _ in range(2)]
    published = await runners[0].publish(records(2_500))
    await runners[0].drain()
    await runners[0].travel(WINDOW_S)

    async def until_both_have_some() -> None:
        async with asyncio.timeout(20):
            while await pool.fetchval("select count(distinct worker) from postroom.delivery") < 2:
                await asyncio.sleep(0)

    storage.before = until_both_have_some
    settled = sum(await asyncio.gather(*(runner.drain() for runner in runners)))
    assert storage.paths == list(written(storage))
    assert ids(storage) == Counter(published)
    assert await waiting(pool) == 0
    assert settled < 2_500
    attempts = await pool.fetch("select message_id, attempt, detail from postroom.attempt")
    assert Counter(row["message_id"] for row in attempts) == Counter(published)
    assert {(row["attempt"], row["detail"]) for row in attempts} == {(1, storage.paths[0])}


async def test_a_file_of_a_runner_of_before_keeps_its_name(
    open_runner: Open, pool: Pool, storage: WatchedStorage
) -> None:
    """It decided which records the file has, and may have written it."""
    runner = await open_runner()
    [published] = await runner.publish(records(1))
    await pool.execute(
        """with f as (insert into postroom.export_file (id, dataset, records, created_at)
                      values ('01890000-0000-7000-8000-000000000001', 'orders', 1, '2026-02-03 04:05:06.7+00')
                      returning id)
           insert into postroom.export_record select $1, f.id, 1 from f""",
        published,
    )
    await runner.drain()
    name = "orders/dt=2026-02-03/20260203T040506Z-01890000-0000-7000-8000-000000000001.ndjson.gz"
    assert list(written(storage)) == [name]


async def test_a_runner_of_before_finds_no_name_for_a_file_that_is_not_stored(
    open_runner: Open, pool: Pool
) -> None:
    """It would write the file under a second name. It made the name of `created_at`, and fails."""
    runner = await open_runner()
    await runner.publish(records(1))
    await runner.drain()
    assert await pool.fetchval("select created_at is null and path is not null from postroom.export_file")
    await runner.travel(WINDOW_S)
    await runner.drain()
    assert await pool.fetchval("select created_at = opened_at from postroom.export_file")


async def deliver_some(runner: AdapterEngine, chance: random.Random) -> None:
    """Claim, deliver and settle, and be killed anywhere: what is held is freed then, as the rescue does."""
    assert isinstance(runner.adapter, ExportAdapter)
    with suppress(Crash):
        while claims := await runner.claim(chance.randint(1, 12)):
            answers = await runner.adapter.deliver_batch(claims)
            if chance.random() < 0.2:
                raise Crash
            assert all(isinstance(answer, Delivered | Settled) for answer in answers)
            ended = [
                (claim, delivered(), 0)
                for claim, answer in zip(claims, answers, strict=True)
                if isinstance(answer, Delivered)
            ]
            if ended:
                async with transaction(runner.runner) as conn:
                    assert not await store.settle_claims(conn, ended)
    await runner.bury()


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_crashes_each_record_is_in_one_file_under_one_name(
    seed: int, open_runner: Open, pool: Pool, storage: WatchedStorage
) -> None:
    """Killed before a write, after it, after its mark; limits, windows, tenants and days change meanwhile."""
    chance = random.Random(seed)
    root = storage.folder._root
    published: list[UUID] = []
    contents: dict[Path, bytes] = {}

    async def maybe_crash() -> None:
        if chance.random() < 0.2:
            raise Crash

    storage.before = storage.after = maybe_crash
    for step in range(12):
        if step == 10:
            storage.before = storage.after = None
        runner = await open_runner(
            records_max=chance.choice([3, 50]), roll_s=chance.choice([0, 60, WINDOW_S])
        )
        published += await runner.publish(
            record(chance.choice([-1, 1]) * n, tenant=chance.choice("ab"), dataset=chance.choice("xy"))
            for n in range(chance.randint(0, 9))
        )
        await deliver_some(runner, chance)
        await runner.travel(chance.choice([0, 45, WINDOW_S]))
        found = {path: path.read_bytes() for path in root.rglob("*.ndjson.gz")}
        assert found | contents == found  # whoever repeats a write writes the same
        contents = found
    last = await open_runner()
    for _ in range(3):
        await last.travel(WINDOW_S)
        await last.drain()
    assert await waiting(pool) == 0
    assert await pool.fetchval("select count(*) from postroom.dead_letter") == 0
    assert ids(storage) == Counter(published)


async def test_a_file_closes_before_it_is_larger_than_what_is_held_in_memory(
    open_runner: Open, storage: WatchedStorage, monkeypatch: pytest.MonkeyPatch, pool: Pool
) -> None:
    """The bytes of what came before are counted in the ledger."""
    runner = await open_runner()
    await runner.publish(records(2))
    await runner.drain()
    begun = await pool.fetchval("select payload_bytes from postroom.export_file")
    for module in (exports, gather):
        monkeypatch.setattr(module, "FILE_BYTES_MAX", begun + begun // 4)
    await runner.publish(records(2, 2))
    await runner.drain()
    assert [numbers(lines) for lines in written(storage).values()] == [[0, 1]]
    await runner.travel(WINDOW_S)
    await runner.drain()
    assert [numbers(lines) for lines in written(storage).values()] == [[0, 1], [2, 3]]
