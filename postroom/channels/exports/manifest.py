"""The manifest of a folder: which files to read there. Pure.

`{"version", "dataset", "tenant", "dt", "records", "files": [{"path", "records", "size_bytes", "sha256",
"stored_at", "schema_version"}], "schemas": {version: {field: type}}}`. Paths are below the root of the
storage. The same bytes for the same version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec

from postroom.channels.exports.model import Partition

NAME: Final = "_manifest.json"
"""Spark, Trino and their like leave out what begins with `_`."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One file that a reader is to read."""

    path: str
    records: int
    size_bytes: int
    sha256: str
    stored_at: datetime
    schema_version: int | None = None


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """`version` grows with each change of the files; None for a day or a tenant where several share it."""

    version: int
    dataset: str
    tenant: str | None
    dt: str | None
    records: int
    files: Sequence[Entry]
    schemas: Mapping[str, Mapping[str, str]] = {}


class _Versioned(msgspec.Struct):
    version: int


def manifest_path(folder: str) -> str:
    return f"{folder}/{NAME}"


def make_manifest(
    partition: Partition,
    version: int,
    files: Sequence[Entry],
    schemas: Mapping[str, Mapping[str, str]] | None = None,
) -> Manifest:
    return Manifest(
        version=version,
        dataset=partition.dataset,
        tenant=partition.tenant,
        dt=partition.day.isoformat() if partition.day else None,
        records=sum(file.records for file in files),
        files=files,
        schemas=schemas or {},
    )


def encode(manifest: Manifest) -> bytes:
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"


def version_of(content: bytes) -> int:
    """Of a manifest in the storage; -1 where it is none, so that it is replaced."""
    try:
        return msgspec.json.decode(content, type=_Versioned).version
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return -1
