"""Files take the place of others: without a person who was erased, or several small ones together.

Planned in the ledger, written, listed instead of the others in one step; only then are these deleted. Where
one is killed, another goes on from the plan, under the same name.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Sequence
from typing import Final
from uuid import UUID

from postroom.base.db import Pool, transaction
from postroom.base.log import get_logger
from postroom.channels.exports import replace_store as store
from postroom.channels.exports import rows, schema_store
from postroom.channels.exports.files import ExportFiles
from postroom.channels.exports.model import FILE_BYTES_MAX, ExportFile
from postroom.channels.exports.store import lock_files

log = get_logger(__name__)

SMALL_BYTES: Final = FILE_BYTES_MAX // 2
QUIET_S: Final = 3_600.0
ERASED_GRACE_S: Final = 180.0
"""Longer than an attempt that began before can still write the old file."""
COMPACTED_GRACE_S: Final = 900.0
"""For who has just read the manifest."""
SEARCHED_AT_ONCE: Final = 20
CARRY_OUT_MAX_S: Final = 120.0
"""For one replacement."""


async def plan_erasures(pool: Pool, *, limit: int) -> None:
    """Each file that holds somebody who was erased is to be replaced, or deleted where none is listed."""
    async with transaction(pool) as conn:
        await lock_files(conn)
        await store.mark_abandoned(conn)
        for file_id in await store.list_to_erase(conn, limit=limit):
            await store.plan(conn, file_ids=[file_id])


async def plan_compaction(pool: Pool, *, files_min: int, records_max: int, rest_s: float, limit: int) -> None:
    """Small files are to be one, in folders that have at least `files_min` of them."""
    async with transaction(pool) as conn:
        await lock_files(conn)
        for folder in await store.list_quiet(conn, rest_s=rest_s, limit=limit):
            small = await store.list_small(conn, folder=folder, rest_s=rest_s, size_max=SMALL_BYTES)
            if len(small) >= files_min:
                for file_ids in gather(small, records_max=records_max):
                    await store.plan(conn, file_ids=file_ids)


async def carry_out_next(pool: Pool, files: ExportFiles) -> bool:
    """Write a planned file, list it, and have what it replaces deleted. Returns: False where none is planned.

    Errors: `StorageFailed`; `TimeoutError` before anybody else may take it.
    """
    async with transaction(pool) as conn:
        file = await store.take_planned(conn, lease_s=2 * CARRY_OUT_MAX_S)
    if file is None:
        return False
    async with asyncio.timeout(CARRY_OUT_MAX_S):
        await _carry_out(pool, files, file)
    return True


async def _carry_out(pool: Pool, files: ExportFiles, file: ExportFile) -> None:
    """Where the storage has one of the others no more, they stay as they are."""
    async with pool.acquire() as conn:
        sources = await store.list_sources(conn, file_id=file.id)
        fields = await schema_store.fetch_fields(conn, file_id=file.id)
    if not sources:
        return
    found: list[rows.Row] = []
    for source in sources:
        old = await files.get(source)
        if old is None:
            log.error("export.file_missing", path=source.path)
            async with transaction(pool) as conn:
                await store.drop_plan(conn, file_id=file.id)
            return
        found += await asyncio.to_thread(rows.read, source.path, old)
    async with pool.acquire() as conn:
        erased = await store.list_erased(conn, file_ids=[source.id for source in sources])
    kept = [row for row in found if row.id not in erased]
    stored = None
    if kept:
        content = await asyncio.to_thread(rows.join, file.path, kept, fields)
        stored = await files.put(file.path, content, records=len(kept))
    async with transaction(pool) as conn:
        await lock_files(conn)
        grace_s = ERASED_GRACE_S if erased else COMPACTED_GRACE_S
        await store.replace(conn, file=file, stored=stored, left_out=erased, grace_s=grace_s)
    await files.write_manifest(file.folder)


async def delete(pool: Pool, files: ExportFiles, file: ExportFile) -> None:
    """Delete what no manifest lists any more. Errors: `StorageFailed`."""
    await files.delete(file)
    async with transaction(pool) as conn:
        await store.delete(conn, file_id=file.id)


async def search(pool: Pool, files: ExportFiles) -> int:
    """Look for who was erased in the next files of which the ledger does not know all.

    Errors: `StorageFailed`. Returns: how many files were looked at; 0 where nobody is looked for.
    """
    async with pool.acquire() as conn:
        wanted = await store.fetch_search(conn)
        if wanted is None:
            return 0
        found = await store.list_searched(conn, after=wanted.after, limit=SEARCHED_AT_ONCE)
    pattern = re.compile(wanted.pattern, re.IGNORECASE)
    for file, unknown in found:
        lines = await _find(files, file, pattern) if unknown else {}
        async with transaction(pool) as conn:
            if lines:
                await store.mark_found(conn, file_id=file.id, lines=lines)
            await store.move_search(conn, search=wanted, after=file.id)
    if not found:
        async with transaction(pool) as conn:
            await lock_files(conn)
            await store.mark_abandoned(conn)  # whoever may be in there, the search ends without them
            await store.move_search(conn, search=wanted, after=None)
    return max(len(found), 1)


async def _find(files: ExportFiles, file: ExportFile, pattern: re.Pattern[str]) -> dict[UUID, int]:
    content = await files.get(file)
    if content is None:
        return {}
    found = await asyncio.to_thread(rows.read, file.path, content)
    return {row.id: line for line, row in enumerate(found, start=1) if pattern.search(row.text)}


def gather(small: Sequence[tuple[ExportFile, int, bool]], *, records_max: int) -> Iterator[list[UUID]]:
    """Small files of one format, all with a schema or none, in their order, up to the limits of a file; none
    alone."""
    together: list[UUID] = []
    size_bytes = records = 0
    format_ = ("", False)
    for file, count, has_schema in small:
        its_format = (file.path.rpartition("/")[2].partition(".")[2], has_schema)
        if (
            its_format != format_
            or size_bytes + file.size_bytes > FILE_BYTES_MAX
            or records + count > records_max
        ):
            if len(together) > 1:
                yield together
            together, size_bytes, records, format_ = [], 0, 0, its_format
        together.append(file.id)
        size_bytes += file.size_bytes
        records += count
    if len(together) > 1:
        yield together
