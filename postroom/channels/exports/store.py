"""Which record belongs to which file: decided once, before the first write."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

import msgspec

from postroom.base.db import Connection, Record, fetch_one, query
from postroom.channels.exports.destinations import destination_of, path_in, place
from postroom.channels.exports.gather import Head
from postroom.channels.exports.manifest import Entry, Manifest, make_manifest
from postroom.channels.exports.model import (
    FILE_BYTES_MAX,
    RECORD_BYTES_MAX,
    ExportFile,
    ExportRecord,
    Group,
    Partition,
    Stored,
    Taken,
)
from postroom.channels.exports.schema import decode_fields
from postroom.encryption.keyring import Keyring
from postroom.outbox.encryption import open_payload
from postroom.outbox.model import Channel
from postroom.outbox.references import Source, complete, fetch_sources, source_of

_LOCK = query(__package__, "lock_files")
_CLOSE_FILES = query(__package__, "close_files")
_OPEN_FILES = query(__package__, "open_files")
_LIST_OPEN = query(__package__, "list_open")
_ADD_RECORDS = query(__package__, "add_records")
_LIST_HEADS = query(__package__, "list_heads")
_MEMBERSHIPS = query(__package__, "list_memberships")
_RECORDS = query(__package__, "list_records")
_MARK_STORED = query(__package__, "mark_stored")
_IS_STORED = query(__package__, "is_stored")
_TAKE = query(__package__, "take_file")
_LET_GO = query(__package__, "let_go")
_FETCH_MANIFEST = query(__package__, "fetch_manifest")
_LIST_MANIFESTS = query(__package__, "list_manifests")
_MARK_WRITTEN = query(__package__, "mark_written")
_MARK_AGAIN = query(__package__, "mark_again")
_PRUNE = query(__package__, "prune_files")
_ERASE = query(__package__, "erase_records")


class _Payload(msgspec.Struct):
    record: msgspec.Raw


_decode = msgspec.json.Decoder(_Payload).decode


async def lock_files(conn: Connection) -> None:
    """One worker at a time decides which records belong to which file, for milliseconds; of a backlog, for
    seconds.

    Transaction: the caller's; until it ends.
    """
    await conn.execute(_LOCK)


async def close_files(
    conn: Connection, *, groups: Sequence[Group], due_again: Collection[UUID], records_max: int
) -> list[ExportFile]:
    """Close the open files of these records, which are due again, that of each group's folder if its time
    is over, it has no room, or it is NDJSON of another schema, and what is full. Forget what of a closed
    file waits no more: it was cancelled, or is dead.

    Returns: those closed that still hold something. A closed file never gains records.
    """
    rows = await conn.fetch(
        _CLOSE_FILES,
        [group.folder for group in groups],
        [group.size_bytes for group in groups],
        [len(group.message_ids) for group in groups],
        [group.partition.suffix for group in groups],
        [group.held for group in groups],
        list(due_again),
        FILE_BYTES_MAX,
        records_max,
    )
    return [_file(row) for row in rows if row["waits"]]


async def list_open(conn: Connection, *, folders: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Records and bytes of the open file of each folder that has one."""
    rows = await conn.fetch(_LIST_OPEN, folders)
    return {row["folder"]: (row["records"], row["payload_bytes"]) for row in rows}


async def add_records(conn: Connection, *, groups: Sequence[Group], roll_s: float) -> dict[UUID, ExportFile]:
    """Add each group to its folder's open file, or to a new one, which closes after `roll_s`; with 0 at once.

    A record that has a file already is left there. Transaction: the one that locked the files.
    Returns: the file of each record.
    """
    rows = await conn.fetch(
        _OPEN_FILES,
        [group.folder for group in groups],
        [group.partition.dataset for group in groups],
        [group.partition.tenant for group in groups],
        [group.partition.day for group in groups],
        [group.partition.suffix for group in groups],
        [group.size_bytes for group in groups],
        [len(group.message_ids) for group in groups],
        [group.held for group in groups],
        roll_s,
    )
    files = {row["folder"]: _file(row) for row in rows}
    memberships: dict[UUID, ExportFile] = {}
    file_ids: list[UUID] = []
    places: list[int] = []
    for group in groups:
        file = files[group.folder]
        memberships |= dict.fromkeys(group.message_ids, file)
        file_ids += [file.id] * len(group.message_ids)
        places += range(file.records - len(group.message_ids) + 1, file.records + 1)
    status = await conn.execute(_ADD_RECORDS, list(memberships), file_ids, places)
    if int(status.split()[-1]) == len(memberships):
        return memberships
    return await list_memberships(conn, message_ids=list(memberships))


async def list_heads(
    conn: Connection, *, message_ids: Sequence[UUID], since_s: float, whole: Sequence[str] | None
) -> dict[UUID, Head]:
    """What is looked at of those records that have no file. Left out is what only a claim opens or judges:
    what is encrypted, refers to an event, is large, or was published before `since_s`. `whole`: the datasets
    of which all is looked at; None: all of them."""
    rows = await conn.fetch(_LIST_HEADS, message_ids, since_s, whole)
    return {row["message_id"]: Head(*row) for row in rows if row["bytes"] <= RECORD_BYTES_MAX}


async def list_memberships(conn: Connection, *, message_ids: Sequence[UUID]) -> dict[UUID, ExportFile]:
    """The file of each record; a record without one is not in the answer."""
    files: dict[UUID, ExportFile] = {}
    memberships: dict[UUID, ExportFile] = {}
    for row in await conn.fetch(_MEMBERSHIPS, message_ids):
        file = _file(row)
        memberships[row["message_id"]] = files.setdefault(file.id, file)
    return memberships


def _file(row: Record) -> ExportFile:
    return ExportFile(
        row["id"],
        row["path"],
        row.get("stored_at"),
        row.get("open_s"),
        row.get("stale", False),
        row["payload_bytes"],
        row.get("records", 0),
    )


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
    records = []
    for message_id, type_, tenant, created_at, plain, whole in rows:
        record = plain if whole is None else _record(kept[message_id], sources)
        if record is not None:
            records.append(ExportRecord(message_id, type_, tenant, created_at, record))
    return records


def _record(text: str, sources: Mapping[UUID, Source]) -> str | None:
    """JSON text of the record in a payload, digit for digit; None where its event is no longer kept."""
    source_id = source_of(text)
    if source_id is not None:
        if source_id not in sources:
            return None
        text = complete(text, sources[source_id])
    return bytes(_decode(text).record).decode()


async def mark_stored(conn: Connection, *, file: ExportFile, stored: Stored) -> bool:
    """Say that the file is durably in storage, and belongs into the manifest. Call it after the write.

    Returns: False where it was given up meanwhile, and is to be deleted.
    """
    await conn.execute(_MARK_STORED, file.id, file.path, stored.size_bytes, stored.sha256, stored.records)
    is_stored: bool = await conn.fetchval(_IS_STORED, file.id)
    return is_stored


async def take_file(conn: Connection, *, file_id: UUID, worker: int, lease_s: float) -> Taken | None:
    """Take a closed file for a worker, if it is not stored and no other one that lives has it. None where it
    was given up: its records get others."""
    row = await conn.fetchrow(_TAKE, file_id, worker, lease_s)
    if row is None:
        return None
    fields = decode_fields(row["fields"]) if row["fields"] else {}
    return Taken(row["taken"], row["stored"], row["stale"], fields)


async def let_go(conn: Connection, *, file_id: UUID, worker: int) -> None:
    """What could not be written may be taken by others at once."""
    await conn.execute(_LET_GO, file_id, worker)


async def mark_again(conn: Connection, *, file: ExportFile, stored: Stored | None) -> None:
    """Say that a stored file was written again; or, with None, that it cannot be."""
    size_bytes, sha256 = (stored.size_bytes, stored.sha256) if stored else (None, None)
    await conn.execute(_MARK_AGAIN, file.id, size_bytes, sha256)


async def fetch_manifest(conn: Connection, *, folder: str) -> Manifest:
    """What the manifest of the folder is to say now. Errors: `RuntimeError` where no file ever lay there."""
    rows = await conn.fetch(_FETCH_MANIFEST, folder)
    if not rows:
        raise RuntimeError(f"no export was ever stored in {folder}")
    first = rows[0]
    names = ("records", "size_bytes", "sha256", "stored_at", "schema_version")
    files = [
        Entry(path=path_in(row["path"]), **{name: row[name] for name in names}) for row in rows if row["path"]
    ]
    partition = Partition(folder, first["dataset"], first["tenant"], first["day"])
    schemas = {str(row["schema_version"]): decode_fields(row["fields"]) for row in rows if row["fields"]}
    return make_manifest(partition, first["version"], files, schemas)


async def list_manifests(conn: Connection, *, folder: str) -> list[str]:
    """Folders of which one at least has its manifest in the storage, if the place of this one is there:
    itself first. Empty where that place has none at all."""
    rows = await conn.fetch(_LIST_MANIFESTS, folder, place(destination_of(folder), ""))
    return [row["folder"] for row in rows]


async def mark_written(conn: Connection, *, folder: str, version: int) -> int:
    """Say that the manifest is in the storage. Returns: the newest version known to be there."""
    row = await fetch_one(conn, _MARK_WRITTEN, folder, version)
    newest: int = row["written"]
    return newest


async def prune_records(conn: Connection, *, days: int, limit: int) -> int:
    """Forget which records the files older than `days` hold; never touches files in storage.

    Spares files with a record that is pending or dead. What a manifest lists stays known as a file; what none
    ever listed is deleted by the job `export-files`, in case a killed attempt has put it there. A record
    that is replayed after its file is forgotten is exported again, with the same id: keep `days` as long as
    messages are kept.
    Returns: how many files were forgotten, at most `limit`.
    """
    return len(await conn.fetch(_PRUNE, days, limit))


async def erase_records(conn: Connection, *, message_ids: Sequence[UUID]) -> list[str]:
    """Have files without these records made by the job `export-files`. Returns: those that hold them now."""
    return [row["path"] for row in await conn.fetch(_ERASE, message_ids)]
