"""What there is to do with files that are stored: found in the ledger, done by the job `export-files`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final
from uuid import UUID

from postroom.base.db import Connection, query
from postroom.channels.exports.model import ExportFile

_ADOPT = query(__package__, "adopt_files")
_LIST_AGAIN = query(__package__, "list_again")
_LIST_STALE = query(__package__, "list_stale")
_DESCRIBE = query(__package__, "describe_files")
_LIST_FILES = _DESCRIBE + query(__package__, "list_files")
_FIND_FILE = _DESCRIBE + query(__package__, "find_file")
_COUNT_KEPT = query(__package__, "count_kept")
_WANT_AGAIN = query(__package__, "want_again")

LISTED_MAX: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFilter:
    """`since` and `until` are days; `until` is the first that is not meant."""

    dataset: str | None = None
    since: date | None = None
    until: date | None = None
    tenant: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedFile:
    """One file as the ledger knows it. `records`: those that it will have, until it is stored.

    `listed`: readers of the manifest are to read it. `current`: the manifest in the storage has the last
    change of its folder. `manifest`: its version there. `again`: it will be written again. `delete_at`:
    it is deleted then: another file has its records, or nobody will write it.
    """

    id: UUID
    dataset: str
    tenant: str | None
    day: date
    path: str | None
    records: int
    size_bytes: int | None
    sha256: str | None
    opened_at: datetime
    closes_at: datetime | None
    stored_at: datetime | None
    delete_at: datetime | None
    listed: bool
    again: bool
    current: bool
    manifest: int | None

    @property
    def state(self) -> str:
        """In a few words, for people."""
        if self.again:
            return "to be written again"
        if self.delete_at is not None:
            return "replaced, to be deleted" if self.stored_at else "abandoned, to be deleted"
        if self.stored_at is None:
            return "open" if self.closes_at else "closed"
        return "listed" if self.listed and self.current else "stored"


async def list_files(conn: Connection, which: FileFilter, *, limit: int = LISTED_MAX) -> list[ListedFile]:
    """By day, folder and age. Returns: at most `limit`."""
    rows = await conn.fetch(_LIST_FILES, which.dataset, which.since, which.until, which.tenant, limit)
    return [ListedFile(**row) for row in rows]


async def find_file(conn: Connection, *, message_id: UUID) -> ListedFile | None:
    """The one that a record is in; None where it has none yet, or the ledger has forgotten it."""
    row = await conn.fetchrow(_FIND_FILE, message_id)
    return ListedFile(**row) if row else None


async def count_kept(conn: Connection, *, file_ids: Sequence[UUID]) -> dict[UUID, int]:
    """How many records of each file the ledger could write again; none where a file is not in the answer."""
    rows = await conn.fetch(_COUNT_KEPT, file_ids)
    return {row["file_id"]: row["kept"] for row in rows}


async def want_again(conn: Connection, *, file_ids: Sequence[UUID]) -> None:
    """The job writes them from the ledger, under the same names."""
    await conn.execute(_WANT_AGAIN, file_ids)


async def list_again(conn: Connection, *, limit: int) -> list[tuple[ExportFile, int]]:
    """Returns: files that are wanted again, and how many records each has."""
    rows = await conn.fetch(_LIST_AGAIN, limit)
    return [(ExportFile(row["id"], row["path"], row["stored_at"]), row["records"]) for row in rows]


async def list_stale(conn: Connection, *, rest_s: float, limit: int) -> list[str]:
    """Folders whose manifest lacks a change that is older than `rest_s`."""
    return [row["folder"] for row in await conn.fetch(_LIST_STALE, rest_s, limit)]


async def adopt_files(conn: Connection, *, limit: int) -> int:
    """Let manifests list what runners of an earlier version stored. Returns: how many folders have some."""
    return len(await conn.fetch(_ADOPT, limit))
