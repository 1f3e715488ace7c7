"""The records of files that are stored, to be found and to be put into another file. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec

from postroom.channels.exports import csv, ndjson, parquet
from postroom.channels.exports.formats import SUFFIXES


@dataclass(frozen=True, slots=True)
class Row:
    """One record of a file. `text` is what a person is looked for in; `value` is how its format has it."""

    id: UUID
    text: str
    value: Any


class _Identified(msgspec.Struct):
    id: UUID


_read_id = msgspec.json.Decoder(_Identified).decode


def read(path: str, content: bytes) -> list[Row]:
    """All records of a file, in its order."""
    if path.endswith(SUFFIXES["parquet"]):
        return [
            Row(UUID(row["id"]), msgspec.json.encode(row).decode(), row) for row in parquet.split(content)
        ]
    if path.endswith(SUFFIXES["csv"]):
        head, lines = csv.split(content)
        columns = csv.count_columns(head)
        return [Row(UUID(line[1:37]), line, (line, columns)) for line in lines]
    return [Row(_read_id(line).id, line.decode(), line) for line in ndjson.split(content)]


def join(path: str, rows: Iterable[Row], fields: Mapping[str, str]) -> bytes:
    """The file of this name. Columns are only ever added at the end, so what an older row lacks is null."""
    if path.endswith(SUFFIXES["parquet"]):
        return parquet.join((row.value for row in rows), fields)
    if path.endswith(SUFFIXES["csv"]):
        wanted = len(csv.HEAD) + len(fields)
        return csv.join(
            (line + "," * (wanted - columns) for line, columns in (r.value for r in rows)), fields
        )
    return ndjson.join(row.value for row in rows)
