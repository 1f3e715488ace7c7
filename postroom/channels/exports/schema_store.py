"""The schemas that the ledger holds: records are held to them before they get a file."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from postroom.base.db import Connection, query
from postroom.base.errors import InvalidPayload
from postroom.channels.exports.formats import Formats
from postroom.channels.exports.gather import Batch
from postroom.channels.exports.schema import Fields, check, declare, decode_fields, encode_fields, infer

_FETCH_SCHEMA = query(__package__, "fetch_schema")
_INSERT_SCHEMA = query(__package__, "insert_schema")
_FETCH_FIELDS = query(__package__, "fetch_fields")


async def hold_to_schemas(
    conn: Connection, batch: Batch, formats: Formats, *, without: Collection[UUID]
) -> None:
    """Reject records that break the schema of their dataset, and give it what is new: a version more.

    Spares what has a file already (`without`). Transaction: the one that locked the files.
    """
    datasets: dict[str, list[UUID]] = {}
    for message_id, fit in batch.records.items():
        if fit.record is not None and message_id not in without:
            datasets.setdefault(fit.partition.dataset, []).append(message_id)
    for dataset, message_ids in sorted(datasets.items()):
        row = await conn.fetchrow(_FETCH_SCHEMA, dataset)
        held = decode_fields(row["fields"]) if row else {}
        fields = _checked(batch, message_ids, held, formats.declared.get(dataset), known=row is not None)
        if fields != held or row is None:
            await conn.execute(_INSERT_SCHEMA, dataset, encode_fields(fields))


def _checked(
    batch: Batch, message_ids: list[UUID], held: Fields, declared: Fields | None, *, known: bool
) -> Fields:
    """Returns: the fields with those that are new. What breaks them is rejected."""
    try:
        fields = dict(held) if declared is None else declare(held, declared)
    except InvalidPayload as error:
        for message_id in message_ids:
            batch.reject(message_id, error)
        return held
    if declared is None and not known:
        fields = infer(batch.records[message_id].record or {} for message_id in message_ids)
    for message_id in message_ids:
        try:
            fields |= check(batch.records[message_id].record or {}, fields, declared)
        except InvalidPayload as error:
            batch.reject(message_id, error)
    return fields


async def fetch_fields(conn: Connection, *, file_id: UUID) -> Fields:
    """The columns of a file; none where its dataset has no schema."""
    row = await conn.fetchrow(_FETCH_FIELDS, file_id)
    return decode_fields(row["fields"]) if row else {}
