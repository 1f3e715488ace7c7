"""The bytes of a CSV file, gzip: RFC 4180, UTF-8, with a header.

A text is quoted, so that an empty one differs from what is null or missing. Numbers are digit for digit.
Columns: `id`, `type`, `tenant`, `created_at`, then each field of the schema as `record.NAME`.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Mapping
from csv import reader
from typing import Final

import msgspec

from postroom.channels.exports.layout import read_time
from postroom.channels.exports.model import ExportRecord

HEAD: Final = ("id", "type", "tenant", "created_at")
_LEVEL: Final = 6
_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_NULL: Final = b"null"


def compress(records: Iterable[ExportRecord], fields: Mapping[str, str]) -> bytes:
    """The whole file. It carries no time and no name, so that a repeat has the same bytes."""
    lines = []
    for record in records:
        values = _decode(record.record)
        head = (str(record.id), record.type, record.tenant, record.created_at.isoformat())
        cells = [_cell(values.get(name), type_) for name, type_ in fields.items()]
        lines.append(",".join([*map(_quoted, head), *cells]))
    return join(lines, fields)


def split(content: bytes) -> tuple[str, list[str]]:
    """Returns: the header, and the lines of the records, as they are."""
    lines: list[str] = []
    open_quote = False
    for piece in gzip.decompress(content).decode().split("\r\n"):
        if open_quote:
            lines[-1] += f"\r\n{piece}"
        else:
            lines.append(piece)
        open_quote ^= piece.count('"') % 2 == 1
    return lines[0], lines[1:-1]


def count_columns(head: str) -> int:
    """Of a header. Every name is quoted, and may hold commas."""
    return len(next(reader([head])))


def join(lines: Iterable[str], fields: Mapping[str, str]) -> bytes:
    """A file of lines that others had."""
    head = ",".join(_quoted(name) for name in (*HEAD, *(f"record.{name}" for name in fields)))
    return gzip.compress(
        "".join(f"{line}\r\n" for line in (head, *lines)).encode(), compresslevel=_LEVEL, mtime=0
    )


def _cell(raw: msgspec.Raw | None, type_: str) -> str:
    value = None if raw is None else bytes(raw)
    if value is None or value == _NULL:
        return ""
    match type_:
        case "string":
            return _quoted(msgspec.json.decode(value, type=str))
        case "json":
            return _quoted(value.decode())
        case "timestamp":
            time = read_time(msgspec.json.decode(value))
            return time.isoformat() if time else ""
        case _:
            return value.decode()


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
