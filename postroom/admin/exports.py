"""What an operator does to export files."""

from __future__ import annotations

from dataclasses import dataclass, field

from postroom.admin.audit import Actor, record
from postroom.base.db import Connection
from postroom.channels.exports.upkeep import (
    LISTED_MAX,
    FileFilter,
    ListedFile,
    count_kept,
    list_files,
    want_again,
)


@dataclass(slots=True)
class Again:
    """`files`: written again, or to be. `incomplete`: the ledger no longer has all of their records."""

    files: list[ListedFile] = field(default_factory=list)
    incomplete: list[ListedFile] = field(default_factory=list)


async def look_again(conn: Connection, which: FileFilter) -> Again:
    """Which stored files can be written again from the ledger, and which can not. At most `LISTED_MAX`."""
    found = [file for file in await list_files(conn, which, limit=LISTED_MAX) if file.listed]
    kept = await count_kept(conn, file_ids=[file.id for file in found])
    again = Again()
    for file in found:
        (again.files if kept.get(file.id, 0) == file.records else again.incomplete).append(file)
    return again


async def write_again(conn: Connection, which: FileFilter, *, actor: Actor) -> Again:
    """Have the job `export-files` write them, under the same names. Transaction: the caller's."""
    again = await look_again(conn, which)
    if again.files:
        await want_again(conn, file_ids=[file.id for file in again.files])
        detail = {"since": which.since, "until": which.until, "tenant": which.tenant}
        await record(
            conn,
            actor,
            "export.again",
            which.dataset or "*",
            files=len(again.files),
            **{name: str(value) for name, value in detail.items() if value is not None},
        )
    return again
