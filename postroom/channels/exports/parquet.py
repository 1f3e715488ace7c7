"""The bytes of a Parquet file, zstd: `id`, `type`, `tenant`, `created_at`, and `record` as a struct of the
schema's fields. Needs the extra `parquet`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from typing import Any

import msgspec

from postroom.channels.exports.layout import read_time
from postroom.channels.exports.model import ExportRecord

_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def installed() -> bool:
    return find_spec("pyarrow") is not None


def write(records: Iterable[ExportRecord], fields: Mapping[str, str]) -> bytes:
    """The whole file; a repeat by the same version of pyarrow has the same bytes."""
    return join((_row(record, fields) for record in records), fields)


def split(content: bytes) -> list[dict[str, Any]]:
    """The rows of a file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = pq.read_table(pa.BufferReader(content)).to_pylist()
    return rows


def join(rows: Iterable[dict[str, Any]], fields: Mapping[str, str]) -> bytes:
    """A file of rows, also of those that other files had; what they have not is null."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    moment = pa.timestamp("us", tz="UTC")
    types = {
        "boolean": pa.bool_(),
        "integer": pa.int64(),
        "number": pa.float64(),
        "string": pa.string(),
        "timestamp": moment,
        "json": pa.string(),
    }
    columns = [("id", pa.string()), ("type", pa.string()), ("tenant", pa.string()), ("created_at", moment)]
    if fields:  # a struct needs a field
        columns.append(("record", pa.struct([(name, types[type_]) for name, type_ in fields.items()])))
    table = pa.Table.from_pylist(list(rows), schema=pa.schema(columns))
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _row(record: ExportRecord, fields: Mapping[str, str]) -> dict[str, Any]:
    values = _decode(record.record)
    return {
        "id": str(record.id),
        "type": record.type,
        "tenant": record.tenant,
        "created_at": record.created_at,
        "record": {name: _value(values.get(name), type_) for name, type_ in fields.items()},
    }


def _value(raw: msgspec.Raw | None, type_: str) -> object:
    if raw is None or (value := msgspec.json.decode(raw)) is None:
        return None
    match type_:
        case "json":
            return bytes(raw).decode()
        case "number":
            return float(value)
        case "timestamp":
            return read_time(value)
        case _:
            return value
