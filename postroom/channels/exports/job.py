"""The job `export-files`: looks after files that are stored, and their manifests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Final

from postroom.base.db import Pool, transaction
from postroom.base.export_settings import ExportSettings
from postroom.base.log import get_logger
from postroom.channels.exports import replace_store, replacing, upkeep
from postroom.channels.exports.failures import StorageFailed, answer_failure
from postroom.channels.exports.files import ExportFiles
from postroom.worker.model import Job, JobContext

log = get_logger(__name__)

NAME: Final = "export-files"
DELETED_MAX: Final = 1_000
BATCH_MAX: Final = 100
"""Of each kind of work, in one run."""
TIME_MAX_S: Final = 120.0
"""Then the next run goes on."""
REST_S: Final = 60.0
"""Whoever has stored a file writes the manifest themselves, in this time."""


def export_files_job(*, pool: Pool, files: ExportFiles, settings: ExportSettings) -> Job:
    """Writes what people want again, takes out who was erased, makes few files of many, writes manifests that
    a crash left behind, deletes what was replaced and what killed writers left. One thing at a time. What a
    storage refuses is left for the next run; the others have their turn, for they may lie elsewhere, and
    then the job fails.

    Each step can be killed and is found again by the next run.
    """

    async def run(context: JobContext) -> int:
        ends_at = asyncio.get_running_loop().time() + TIME_MAX_S
        count, failures = 0, Failures()
        async for _ in _steps(pool, files, settings, failures, requested=context.requested):
            count += 1
            if context.stop.is_set() or asyncio.get_running_loop().time() > ends_at:
                break
        if failures.first is not None:
            raise failures.first
        return count

    return Job(name=NAME, run=run, every_s=60.0)


class Failures:
    """What storages refused in one run; each is logged, and the first one kept."""

    def __init__(self) -> None:
        self.first: StorageFailed | None = None

    @contextmanager
    def kept(self) -> Iterator[None]:
        try:
            yield
        except StorageFailed as failed:
            self.first = self.first or failed
            log.warning("export.storage_failed", reason=answer_failure(failed.error).reason)


async def _steps(
    pool: Pool, files: ExportFiles, settings: ExportSettings, failures: Failures, *, requested: bool
) -> AsyncIterator[None]:
    """Everything there is to do, one step after the other. `requested`: also what has just been changed."""
    with failures.kept():
        await files.remove_leftovers()
    async with transaction(pool) as conn:
        await upkeep.adopt_files(conn, limit=BATCH_MAX)
    async with pool.acquire() as conn:
        wanted = await upkeep.list_again(conn, limit=BATCH_MAX)
    for file, records in wanted:
        with failures.kept():
            if not await files.store_again(file, records=records):
                log.warning("export.not_again", path=file.path)
        yield
    searches = True
    while searches:
        searches = False  # nor does one that fails go on in this run
        with failures.kept():
            searches = bool(await replacing.search(pool, files))
        if searches:
            yield
    await replacing.plan_erasures(pool, limit=BATCH_MAX)
    if settings.compact_files:
        await replacing.plan_compaction(
            pool,
            files_min=settings.compact_files,
            records_max=settings.records_max,
            rest_s=0.0 if requested else replacing.QUIET_S,
            limit=BATCH_MAX,
        )
    planned = True
    while planned:
        with failures.kept():  # the next one is another: this one is taken for a while
            planned = await replacing.carry_out_next(pool, files)
        if planned:
            yield
    async with pool.acquire() as conn:
        stale = await upkeep.list_stale(conn, rest_s=0.0 if requested else REST_S, limit=BATCH_MAX)
    for folder in stale:
        with failures.kept():
            await files.write_manifest(folder)
        yield
    async with pool.acquire() as conn:
        replaced = await replace_store.list_to_delete(conn, limit=DELETED_MAX)
    for file in replaced:
        with failures.kept():
            await replacing.delete(pool, files, file)
        yield
