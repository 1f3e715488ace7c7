"""The bytes of a file: one JSON object a line, gzip, the same bytes for the same records.

Each line: `{"id", "type", "tenant", "created_at", "record"}`. `id` is the message's; a consumer that
reads files more than once deduplicates on it. `created_at` is RFC 3339 in UTC. `record` is the
published object, its numbers digit for digit.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from postroom.channels.exports.model import ExportRecord

_LEVEL: Final = 6


class _Line(msgspec.Struct, gc=False):
    id: UUID
    type: str
    tenant: str
    created_at: datetime
    record: msgspec.Raw


_encode = msgspec.json.Encoder().encode


def line(record: ExportRecord) -> bytes:
    """One line, its end included."""
    return (
        _encode(
            _Line(
                record.id, record.type, record.tenant, record.created_at, msgspec.Raw(record.record.encode())
            )
        )
        + b"\n"
    )


def split(content: bytes) -> list[bytes]:
    """The lines of a file."""
    return gzip.decompress(content).splitlines(keepends=True)


def join(lines: Iterable[bytes]) -> bytes:
    """A file of lines that others had."""
    return gzip.compress(b"".join(lines), compresslevel=_LEVEL, mtime=0)


def compress(records: Iterable[ExportRecord]) -> bytes:
    """The whole file. It carries no time and no name, so that a repeat has the same bytes."""
    return join(line(record) for record in records)
