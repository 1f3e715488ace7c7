"""The job `export-files`: looks after files that are stored, and their manifests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from postroom.base.db import Pool, transaction
from postroom.base.log import get_logger
from postroom.base.settings import ExportSettings
from postroom.channels.exports import replacing, upkeep
from postroom.channels.exports.files import ExportFiles
from postroom.worker.model import Job, JobContext

log = get_logger(__name__)

NAME: Final = "export-files"
BATCH_MAX: Final = 100
"""Of each kind of work, in one run."""
TIME_MAX_S: Final = 120.0
"""Then the next run goes on."""
REST_S: Final = 60.0
"""Whoever has stored a file writes the manifest themselves, in this time."""


def export_files_job(*, pool: Pool, files: ExportFiles, settings: ExportSettings) -> Job:
    """Writes what people want again, takes out who was erased, makes few files of many, writes manifests that
    a crash left behind, deletes what was replaced. One thing at a time; a storage that fails ends the run.

    Each step can be killed and is found again by the next run.
    """

    async def run(context: JobContext) -> int:
        ends_at = asyncio.get_running_loop().time() + TIME_MAX_S
        count = 0
        async for _ in _steps(pool, files, settings, requested=context.requested):
            count += 1
            if context.stop.is_set() or asyncio.get_running_loop().time() > ends_at:
                break
        return count

    return Job(name=NAME, run=run, every_s=60.0)


async def _steps(
    pool: Pool, files: ExportFiles, settings: ExportSettings, *, requested: bool
) -> AsyncIterator[None]:
    """Everything there is to do, one step after the other. `requested`: also what has just been changed."""
    async with transaction(pool) as conn:
        await upkeep.adopt_files(conn, limit=BATCH_MAX)
    async with pool.acquire() as conn:
        wanted = await upkeep.list_again(conn, limit=BATCH_MAX)
    for file, records in wanted:
        if not await files.store_again(file, records=records):
            log.warning("export.not_again", path=file.path)
        yield
    while await replacing.search(pool, files):
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
    while await replacing.carry_out_next(pool, files):
        yield
    async with pool.acquire() as conn:
        stale = await upkeep.list_stale(conn, rest_s=0.0 if requested else REST_S, limit=BATCH_MAX)
    for folder in stale:
        await files.write_manifest(folder)
        yield
    while await replacing.delete_replaced(pool, files, limit=BATCH_MAX):
        yield
