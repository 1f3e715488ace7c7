"""Which record belongs to which file: decided once, before the first write."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

import msgspec

from postroom.base.db import Connection, query
from postroom.channels.exports.model import FILE_BYTES_MAX, ExportFile, ExportRecord, Group, Stored
from postroom.encryption.keyring import Keyring
from postroom.outbox.encryption import open_payload
from postroom.outbox.model import Channel
from postroom.outbox.references import Source, complete, fetch_sources, source_of

_LOCK = query(__package__, "lock_files")
_CLOSE_FILES = query(__package__, "close_files")
_ADD_RECORDS = query(__package__, "add_records")
_MEMBERSHIPS = query(__package__, "list_memberships")
_RECORDS = query(__package__, "list_records")
_MARK_STORED = query(__package__, "mark_stored")
_PRUNE = query(__package__, "prune_files")
_ERASE = query(__package__, "erase_records")


class _Payload(msgspec.Struct):
    record: msgspec.Raw


_decode = msgspec.json.Decoder(_Payload).decode


async def lock_files(conn: Connection) -> None:
    """One worker at a time decides which records belong to which file, for milliseconds.

    Transaction: the caller's; until it ends.
    """
    await conn.execute(_LOCK)


async def close_files(
    conn: Connection, *, groups: Sequence[Group], due_again: Collection[UUID], records_max: int
) -> list[ExportFile]:
    """Close the open files of these records, which are due again, and that of each group's folder if its time
    is over or it has no room. Forget what of a closed file waits no more: it was cancelled, or is dead.

    Returns: those closed that still hold something. A closed file never gains records.
    """
    rows = await conn.fetch(
        _CLOSE_FILES,
        [group.folder for group in groups],
        [group.size_bytes for group in groups],
        [len(group.message_ids) for group in groups],
        list(due_again),
        FILE_BYTES_MAX,
        records_max,
    )
    return [ExportFile(row["id"], row["path"]) for row in rows if row["waits"]]


async def add_records(conn: Connection, *, groups: Sequence[Group], roll_s: float) -> None:
    """Add each group to its folder's open file, or to a new one, which closes after `roll_s`; with 0 at once.

    A record that has a file already is left there. Transaction: the one that locked the files.
    """
    lines = [
        (message_id, group.folder, place)
        for group in groups
        for place, message_id in enumerate(group.message_ids, start=1)
    ]
    await conn.execute(
        _ADD_RECORDS,
        [group.folder for group in groups],
        [group.dataset for group in groups],
        [group.size_bytes for group in groups],
        [len(group.message_ids) for group in groups],
        *map(list, zip(*lines, strict=True)),
        roll_s,
    )


async def list_memberships(conn: Connection, *, message_ids: Sequence[UUID]) -> dict[UUID, ExportFile]:
    """The file of each record; a record without one is not in the answer."""
    files: dict[UUID, ExportFile] = {}
    memberships: dict[UUID, ExportFile] = {}
    for row in await conn.fetch(_MEMBERSHIPS, message_ids):
        file = ExportFile(row["id"], row["path"], row["stored_at"], row["open_s"])
        memberships[row["message_id"]] = files.setdefault(file.id, file)
    return memberships


async def list_records(conn: Connection, *, file_id: UUID, keyring: Keyring) -> list[ExportRecord]:
    """All records of a file in its order, not only those that are due now.

    Left out is what retention has emptied. Errors: `Unreadable` where one of them is encrypted and no key
    opens it.
    """
    rows = await conn.fetch(_RECORDS, file_id)
    if any(row["kept"] is None for row in rows):
        keyring.check_open(Channel.EXPORT)
    kept = {
        row["id"]: open_payload(row["id"], row["kept"], keyring, channel=Channel.EXPORT)
        for row in rows
        if row["kept"]
    }
    wanted = {source for text in kept.values() if (source := source_of(text)) is not None}
    sources = await fetch_sources(conn, list(wanted), keyring) if wanted else {}
    records = [
        (row, row["record"] if row["kept"] is None else _record(kept[row["id"]], sources)) for row in rows
    ]
    return [
        ExportRecord(row["id"], row["type"], row["tenant"], row["created_at"], record)
        for row, record in records
        if record is not None
    ]


def _record(text: str, sources: Mapping[UUID, Source]) -> str | None:
    """JSON text of the record in a payload, digit for digit; None where its event is no longer kept."""
    source_id = source_of(text)
    if source_id is not None:
        if source_id not in sources:
            return None
        text = complete(text, sources[source_id])
    return bytes(_decode(text).record).decode()


async def mark_stored(conn: Connection, *, file: ExportFile, stored: Stored) -> None:
    """Say that the file is durably in storage. Call it after the write, never before."""
    await conn.execute(_MARK_STORED, file.id, file.path, stored.size_bytes, stored.sha256, stored.records)


async def prune_records(conn: Connection, *, days: int, limit: int) -> int:
    """Forget files older than `days` and which records they hold; never touches files in storage.

    Spares files with a record that is pending or dead. A record that is replayed after its file is
    forgotten is exported again, with the same id: keep `days` as long as messages are kept.
    Returns: how many files were forgotten, at most `limit`.
    """
    return len(await conn.fetch(_PRUNE, days, limit))


async def erase_records(conn: Connection, *, message_ids: Sequence[UUID]) -> list[str]:
    """Forget which files hold these records. Returns: the files; what is in them stays."""
    return [row["path"] for row in await conn.fetch(_ERASE, message_ids)]
