"""A folder that is not mounted has no file: nothing is put there, and none is believed lost or deleted, until
it is there again."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from postroom.base.db import Pool
from postroom.channels.exports import job
from postroom.channels.exports.failures import StorageFailed
from postroom.channels.exports.folder import STAGING
from postroom.channels.exports.replacing import ERASED_GRACE_S
from tests.channels.exports.conftest import Open
from tests.channels.exports.test_abandoned import cancel_and_erase_ada, killed_once_it_is_put
from tests.channels.exports.test_replacing import (
    ADA,
    CREATED,
    erase_ada,
    export,
    hits,
    ids_below,
    objects,
    upkeep,
)  # fmt: skip
from tests.fixtures.watched_storage import WatchedStorage

HOUR_S = 3_600.0


@contextmanager
def away(root: Path) -> Iterator[None]:
    """The mount is gone, and what it was mounted on is empty."""
    mounted = root.rename(root.with_name("mounted"))
    root.mkdir()
    yield
    root.rmdir()  # nothing was put there meanwhile
    mounted.rename(root)


async def test_nothing_is_put_into_a_folder_that_is_not_mounted(
    open_runner: Open, root: Path, pool: Pool
) -> None:
    """Also in a process that starts meanwhile; `away` notices any file."""
    published = await export(await open_runner(), {"id": 1})
    with away(root):
        runner = await open_runner()
        published += await export(runner, {"id": 2})
    codes = [row["code"] for row in await pool.fetch("select code from postroom.attempt order by ended_at")]
    assert codes == [None, "place_empty"]
    await runner.travel(HOUR_S)
    await runner.drain()
    assert ids_below(root, "ndjson") == Counter(published)


async def test_a_folder_without_files_is_begun_anew_where_somebody_says_so(
    open_runner: Open, root: Path
) -> None:
    runner = await open_runner()
    await export(runner, {"id": 1})
    shutil.rmtree(root)
    await export(runner, {"id": 2})
    assert objects(root) == []
    (root / STAGING).mkdir(parents=True)
    await runner.travel(HOUR_S)
    await runner.drain()
    assert len(objects(root)) == 1


@pytest.mark.parametrize("forgotten", [False, True])
async def test_an_erasure_goes_on_once_the_place_is_there_again(
    forgotten: bool, open_runner: Open, root: Path, pool: Pool
) -> None:
    """Of files that the ledger knows, and of those that it searches."""
    runner = await open_runner()
    await export(runner, {"email": ADA}, {"email": "x@y.org"})
    if forgotten:
        await pool.execute("update postroom.message set payload = '{}'")
        await pool.execute("delete from postroom.export_record")
        await pool.execute("update postroom.export_file set forgotten = true")
    await erase_ada(pool)
    with away(root):
        for _ in range(2):
            with pytest.raises(StorageFailed):
                await upkeep(runner)
            await runner.travel(ERASED_GRACE_S)
    for _ in range(3):
        await upkeep(runner)
        await runner.travel(2 * ERASED_GRACE_S)
    assert (hits(root, "ndjson"), len(objects(root))) == (0, 1)
    assert await pool.fetchval("select count(*) from postroom.export_search") == 0


async def test_a_file_is_deleted_once_its_place_is_there_again(
    open_runner: Open, root: Path, pool: Pool
) -> None:
    runner = await open_runner()
    await export(runner, {"email": ADA})
    await erase_ada(pool)
    await upkeep(runner)
    await runner.travel(ERASED_GRACE_S)
    assert hits(root, "ndjson") == 1
    with away(root), pytest.raises(StorageFailed):
        await upkeep(runner)
    await upkeep(runner)
    assert objects(root) == []


async def test_what_a_storage_never_lets_go_holds_up_nothing_else(
    open_runner: Open, root: Path, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "DELETED_MAX", 1)
    runner = await open_runner()
    for created in (0, CREATED):
        await export(runner, {"created": created, "email": ADA})
    await erase_ada(pool)
    await upkeep(runner)
    await runner.travel(ERASED_GRACE_S)
    path = await pool.fetchval(
        "select path from postroom.export_file where stored_at is not null order by delete_at limit 1"
    )
    oldest = root / path
    oldest.unlink()
    oldest.mkdir()
    for _ in range(30):
        with suppress(StorageFailed):
            await upkeep(runner)
    assert objects(root) == []


async def test_a_folder_without_a_manifest_is_judged_by_another_one(
    open_runner: Open, root: Path, pool: Pool, storage: WatchedStorage
) -> None:
    runner = await open_runner()
    await export(runner, {"created": 0})
    await killed_once_it_is_put(runner, storage, ADA)
    await pool.execute("delete from postroom.worker")
    runner = await open_runner()
    await cancel_and_erase_ada(pool)
    await runner.travel(ERASED_GRACE_S)
    with away(root), pytest.raises(StorageFailed):
        await upkeep(runner)
    await upkeep(runner)
    assert (hits(root, "ndjson"), len(objects(root))) == (0, 1)


async def test_a_folder_that_somebody_deleted_holds_up_no_erasure(
    open_runner: Open, root: Path, pool: Pool
) -> None:
    """As a bucket's lifecycle rule does, or who needs the space."""
    runner = await open_runner()
    await export(runner, {"created": 0, "email": ADA})
    await export(runner, {"email": ADA})
    shutil.rmtree(objects(root)[0].parent)
    await erase_ada(pool)
    for _ in range(2):
        await upkeep(runner)
        await runner.travel(ERASED_GRACE_S)
    assert (hits(root, "ndjson"), objects(root)) == (0, [])
