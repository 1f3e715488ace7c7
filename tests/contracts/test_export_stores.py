"""What every store of exports keeps: who reads its manifests by DuckDB has what the ledger says.

A folder, SeaweedFS, Azurite and fake-gcs-server, each a process; runners are processes that are killed by
SIGKILL at each of their steps in turn, until one comes to its end.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from postroom.admin.audit import Actor
from postroom.admin.erasure import erase, person
from postroom.admin.tokens import Scope
from postroom.base.clock import SystemClock
from postroom.base.db import Pool, transaction
from postroom.base.export_settings import ExportSettings
from postroom.channels.exports.adapter import ExportAdapter
from postroom.channels.exports.manifest import encode, make_manifest
from postroom.channels.exports.model import Partition
from postroom.channels.exports.replacing import COMPACTED_GRACE_S
from postroom.outbox.model import Message
from postroom.outbox.publish import publish_many
from tests.fixtures.azurite import azurite
from tests.fixtures.engine import AT_ONCE, TRAVEL, AdapterEngine
from tests.fixtures.export_site import Site
from tests.fixtures.export_steps import KILLED, Runners
from tests.fixtures.gcs import fake_gcs
from tests.fixtures.roles import as_role, pool_as
from tests.fixtures.seaweedfs import OPTIONS, seaweedfs

STEPS_MAX = 100
ADA = "ada@example.com"
OTHERS = [{"n": n, "email": "x@y.org"} for n in range(3)]
CREATED_S = 1_767_225_600
STORES = {"folder": "ndjson", "s3": "parquet", "azure": "csv", "gcs": "ndjson"}
BUCKET = "bucket1"
RELEASE = (
    "update postroom.delivery set worker = null, claimed_at = null where worker is not null",
    "delete from postroom.worker",
)
"""What the rescue does once a runner that was killed has not been heard of for long enough."""
Run = Callable[..., Awaitable[int]]
Open = Callable[..., Awaitable[AdapterEngine]]


@pytest.fixture(scope="module", params=STORES)
def store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Any]]:
    """Settings by which it is written; what it lies below is chosen by each test."""
    folder, url, options = tmp_path_factory.mktemp("store"), "", dict[str, str]()
    with ExitStack() as stack:
        match request.param:
            case "folder":
                url = f"file://{folder}"
            case "s3":
                endpoint = stack.enter_context(seaweedfs(folder / "weed", BUCKET))
                url, options = f"s3://{BUCKET}", {**OPTIONS, "endpoint": endpoint}
            case "azure":
                url, options = f"az://{BUCKET}", stack.enter_context(azurite(BUCKET))
            case "gcs":
                url, options = f"gs://{BUCKET}", stack.enter_context(fake_gcs(BUCKET))
        yield {"url": url, "options": options, "format": STORES[request.param]}


@pytest.fixture(scope="module")
def runners() -> Iterator[Runners]:
    runners = Runners()
    yield runners
    runners.close()


@pytest.fixture
def settings(store: dict[str, Any]) -> dict[str, Any]:
    return {**store, "url": f"{store['url']}/{uuid4().hex}", "roll_s": 0, "compact_files": 2}


@pytest.fixture
def site(settings: dict[str, Any], tmp_path: Path) -> Site:
    return Site(ExportSettings(**settings), tmp_path)


@pytest.fixture
def run(runners: Runners, settings: dict[str, Any], dsn: str, pool: Pool, tmp_path: Path) -> Run:
    """A runner's work, killed or not; then the time in which others know that it is dead."""

    async def run_one(what: str, killed_after: int | None = None, **more: Any) -> int:
        code = await runners.run(
            what=what, dsn=as_role(dsn, "runner"), settings=settings | more, state_dir=str(tmp_path),
            killed_after=killed_after,
        )  # fmt: skip
        async with transaction(pool) as conn:
            for statement in RELEASE if what == "deliver" else ():
                await conn.execute(statement)
            for statement in TRAVEL:
                await conn.execute(statement, COMPACTED_GRACE_S)
        assert code in (0, KILLED)
        return code

    return run_one


@pytest.fixture
def open_runner(settings: dict[str, Any], dsn: str, pool: Pool, tmp_path: Path) -> Open:
    """One in this process, which is not killed."""

    async def open_one(**more: Any) -> AdapterEngine:
        adapter = ExportAdapter(
            pool=pool_as(pool, "runner"),
            clock=SystemClock(),
            settings=ExportSettings(**settings | more),
            state_dir=tmp_path,
        )
        return await AdapterEngine(dsn, pool, adapter, AT_ONCE).start()

    return open_one


async def publish(pool: Pool, *records: dict[str, Any]) -> list[UUID]:
    messages = [
        Message(
            channel="export",
            tenant="t",
            payload={"dataset": "orders", "record": {"created": CREATED_S, **each}},
        )
        for each in records
    ]
    async with transaction(pool) as conn:
        return [each.id for each in await publish_many(conn, messages)]


async def ledger(pool: Pool) -> Counter[str]:
    return Counter(str(row["id"]) for row in await pool.fetch("select id from postroom.message"))


async def erase_ada(pool: Pool) -> None:
    await erase(
        lambda: transaction(pool_as(pool, "api")),
        who=person(ADA),
        time_max_s=60,
        actor=Actor("test", scopes=frozenset(Scope)),
    )


@pytest.mark.timeout(300)
async def test_a_runner_killed_at_any_step_leaves_each_record_listed_once(
    site: Site, run: Run, pool: Pool
) -> None:
    is_behind = False
    for step in itertools.count():
        await publish(pool, *OTHERS)
        ended = await run("deliver", step)
        stored = await pool.fetchval("select count(*) from postroom.export_file where listed")
        is_behind |= len(await site.listed(pool)) < stored
        assert not await site.read(pool) - await ledger(pool)
        if ended == 0:
            break
        assert step < STEPS_MAX
        assert await run("deliver") == 0
        assert await site.read(pool) == await ledger(pool)
    assert step > 6
    assert is_behind  # once it was killed after a file was known to be stored and before its manifest was
    assert await pool.fetchval("select count(*) from postroom.delivery") == 0
    assert len(site.objects()) == len(await site.listed(pool))


@pytest.mark.timeout(300)
async def test_killed_at_any_step_files_are_replaced_and_who_was_erased_is_in_none(
    site: Site, run: Run, pool: Pool, open_runner: Open
) -> None:
    """Small files become one, and a person leaves all of them, in the same runs."""
    erased, others = set[str](), Counter[str]()
    runner = await open_runner(records_max=2)
    for step in itertools.count():
        published = await publish(pool, *OTHERS, {"n": 3, "email": ADA})
        await runner.drain()
        assert step or await site.hits(ADA) == 1
        await erase_ada(pool)
        erased.add(str(published[-1]))
        others = Counter({id_: 1 for id_ in await ledger(pool) if id_ not in erased})
        ended = await run("upkeep", step)
        read = await site.read(pool)
        assert not others - read
        assert not read - others - Counter(erased)
        if ended == 0:
            break
        assert step < STEPS_MAX
        assert await run("upkeep") == 0
        assert await site.read(pool) == others
    assert step > 12
    for _ in range(2):
        assert await run("upkeep") == 0
    assert await site.read(pool) == others
    assert await site.hits(ADA) == 0
    assert len(site.objects()) == len(await site.listed(pool)) == 1


async def test_a_record_a_second_for_an_hour_makes_at_most_twelve_files(
    site: Site, pool: Pool, open_runner: Open
) -> None:
    step_s, window_s = 60, 300
    runner = await open_runner(roll_s=window_s)
    for second in range(0, 3_600, step_s):
        await publish(pool, *({"n": second + n} for n in range(step_s)))
        await runner.drain()
        await runner.travel(step_s)
    await runner.travel(window_s)
    await runner.drain()
    assert len(site.objects()) == len(await site.listed(pool)) <= 12
    read = await site.read(pool)
    assert read == await ledger(pool)
    assert read.total() == 3_600


async def test_a_manifest_is_replaced_by_newer_ones_only_and_deleting_is_done_once(site: Site) -> None:
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
