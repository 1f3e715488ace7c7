"""Replacing files, as the ledger knows it: planned, done, and what is to be deleted then."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from postroom.base.db import Connection, Record, query
from postroom.channels.exports.model import ExportFile, Stored

_PLAN = query(__package__, "plan_replacement")
_TAKE_PLANNED = query(__package__, "take_planned")
_LIST_SOURCES = query(__package__, "list_sources")
_LIST_ERASED = query(__package__, "list_erased")
_REPLACE = query(__package__, "replace_files")
_DROP_PLAN = query(__package__, "drop_plan")
_LIST_TO_ERASE = query(__package__, "list_to_erase")
_LIST_TO_DELETE = query(__package__, "list_to_delete")
_DELETE = query(__package__, "delete_file")
_LIST_QUIET = query(__package__, "list_quiet")
_LIST_SMALL = query(__package__, "list_small")
_MARK_COMPACTED = query(__package__, "mark_compacted")
_SEARCH = query(__package__, "search_files")
_FETCH_SEARCH = query(__package__, "fetch_search")
_LIST_SEARCHED = query(__package__, "list_searched")
_MARK_FOUND = query(__package__, "mark_found")
_MOVE_SEARCH = query(__package__, "move_search")
_MARK_ABANDONED = query(__package__, "mark_abandoned")


@dataclass(frozen=True, slots=True)
class Search:
    """A person who is looked for: a pattern of Python's, and the file after which it goes on."""

    id: UUID
    pattern: str
    after: UUID


async def plan(conn: Connection, *, file_ids: Sequence[UUID]) -> None:
    """Decide that one file will have what these have. Transaction: one that locked the files."""
    await conn.execute(_PLAN, file_ids)


async def take_planned(conn: Connection, *, lease_s: float) -> ExportFile | None:
    """A replacement that is planned, also one that somebody has begun; nobody else gets it meanwhile."""
    row = await conn.fetchrow(_TAKE_PLANNED, lease_s)
    return _file(row) if row else None


async def list_sources(conn: Connection, *, file_id: UUID) -> list[ExportFile]:
    """What a planned file replaces, in the order of its records; nothing where that is done."""
    return [_file(row) for row in await conn.fetch(_LIST_SOURCES, file_id)]


async def list_erased(conn: Connection, *, file_ids: Sequence[UUID]) -> set[UUID]:
    """Records of these files that are to be in no file."""
    return {row["message_id"] for row in await conn.fetch(_LIST_ERASED, file_ids)}


async def replace(
    conn: Connection, *, file: ExportFile, stored: Stored | None, left_out: Collection[UUID], grace_s: float
) -> None:
    """The file takes the place of those that it replaces; None: of what nothing is left. Their objects are
    deleted after `grace_s`, when a manifest without them is in the storage."""
    content = (stored.size_bytes, stored.sha256, stored.records) if stored else (None, None, None)
    await conn.execute(_REPLACE, file.id, file.path, *content, list(left_out), grace_s)
    if stored is None:
        await drop_plan(conn, file_id=file.id)


async def drop_plan(conn: Connection, *, file_id: UUID) -> None:
    """What it would have replaced stays, and what an attempt has put there is to be deleted."""
    await conn.execute(_DROP_PLAN, file_id)


async def list_to_erase(conn: Connection, *, limit: int) -> list[UUID]:
    """Files that hold records of somebody who was erased."""
    return [row["id"] for row in await conn.fetch(_LIST_TO_ERASE, limit)]


async def mark_abandoned(conn: Connection) -> None:
    """Have objects deleted that no manifest ever listed and nobody will write again: of files that hold who
    was erased, and, while somebody is looked for, of all. Transaction: one that locked the files."""
    await conn.execute(_MARK_ABANDONED)


async def list_to_delete(conn: Connection, *, limit: int) -> list[ExportFile]:
    """Files that nobody is told to read any more, or ever was."""
    return [_file(row) for row in await conn.fetch(_LIST_TO_DELETE, limit)]


async def delete(conn: Connection, *, file_id: UUID) -> None:
    """Forget a file whose object is gone."""
    await conn.execute(_DELETE, file_id)


async def list_quiet(conn: Connection, *, rest_s: float, limit: int) -> list[str]:
    """Folders that changed since they were looked at for small files."""
    return [row["folder"] for row in await conn.fetch(_LIST_QUIET, rest_s, limit)]


async def list_small(
    conn: Connection, *, folder: str, rest_s: float, size_max: int
) -> list[tuple[ExportFile, int, bool]]:
    """Small files of a folder, with how many records each has, and whether these have a schema; says that the
    folder was looked at."""
    rows = await conn.fetch(_LIST_SMALL, folder, rest_s, size_max)
    await conn.execute(_MARK_COMPACTED, folder, rest_s)
    return [(_file(row), row["records"], row["has_schema"]) for row in rows]


async def search_files(conn: Connection, *, pattern: str) -> None:
    """Have the job `export-files` look for somebody in files of which the ledger has forgotten something."""
    await conn.execute(_SEARCH, pattern)


async def fetch_search(conn: Connection) -> Search | None:
    """The one that has waited longest."""
    row = await conn.fetchrow(_FETCH_SEARCH)
    return Search(**row) if row else None


async def list_searched(conn: Connection, *, after: UUID, limit: int) -> list[tuple[ExportFile, bool]]:
    """The next files, and whether each is to be read: the ledger does not know all that is in it."""
    return [(_file(row), row["unknown"]) for row in await conn.fetch(_LIST_SEARCHED, after, limit)]


async def mark_found(conn: Connection, *, file_id: UUID, lines: dict[UUID, int]) -> None:
    """Records of the file, by message and with their lines, that are to be in no file."""
    await conn.execute(_MARK_FOUND, file_id, list(lines), list(lines.values()))


async def move_search(conn: Connection, *, search: Search, after: UUID | None) -> None:
    """It goes on after this file; None: it has ended, and is forgotten."""
    await conn.execute(_MOVE_SEARCH, search.id, after)


def _file(row: Record) -> ExportFile:
    return ExportFile(row["id"], row["path"], row.get("stored_at"), size_bytes=row["payload_bytes"])
