"""The job `export-files`: what was left of files and manifests, and what people want written again."""

from __future__ import annotations

from typing import Final

from postroom.base.db import Pool, transaction
from postroom.base.log import get_logger
from postroom.channels.exports import upkeep
from postroom.channels.exports.files import ExportFiles
from postroom.worker.model import Job, JobContext

log = get_logger(__name__)

NAME: Final = "export-files"
BATCH_MAX: Final = 100
"""Files, and manifests, of one run."""
REST_S: Final = 60.0
"""Whoever has stored a file writes the manifest themselves, in this time."""


def export_files_job(*, pool: Pool, files: ExportFiles) -> Job:
    """Each step can be killed and is found again by the next run; a storage that fails ends the run."""

    async def run(context: JobContext) -> int:
        async with transaction(pool) as conn:
            await upkeep.adopt_files(conn, limit=BATCH_MAX)
        async with pool.acquire() as conn:
            wanted = await upkeep.list_again(conn, limit=BATCH_MAX)
        count = 0
        for file, records in wanted:
            if context.stop.is_set():
                return count
            if not await files.store_again(file, records=records):
                log.warning("export.not_again", path=file.path)
            count += 1
        async with pool.acquire() as conn:
            rest_s = 0.0 if context.requested else REST_S
            stale = await upkeep.list_stale(conn, rest_s=rest_s, limit=BATCH_MAX)
        for folder in stale:
            if context.stop.is_set():
                return count
            await files.write_manifest(folder)
            count += 1
        return count

    return Job(name=NAME, run=run, every_s=60.0)
