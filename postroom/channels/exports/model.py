"""What an export is made of: records, and the files that hold them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from postroom.base import json
from postroom.base.errors import InvalidInput, InvalidPayload

RECORD_BYTES_MAX: Final = 262_144
FILE_BYTES_MAX: Final = 67_108_864
"""Of one file before compression: what is held in memory at once."""

DATASET = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


@dataclass(frozen=True, slots=True)
class ExportFile:
    """`path`: its name below the root of the storage, decided once, so that a repeat overwrites. `open_s`:
    seconds until it closes; None when its records are decided. `stored_at` is None until it is durable.
    `stale`: it is stored, and the manifest in the storage may not list it yet. `size_bytes` is that of its
    records before compression, as they were counted; `records`: how many it had then, where that is known."""

    id: UUID
    path: str
    stored_at: datetime | None = None
    open_s: float | None = None
    stale: bool = False
    size_bytes: int = 0
    records: int = 0

    @property
    def folder(self) -> str:
        return self.path.rpartition("/")[0]


@dataclass(frozen=True, slots=True)
class Partition:
    """What shares a folder and a manifest. `tenant` and `day` are None where the layout has none.
    `suffix`: how the names of files end that begin now."""

    folder: str
    dataset: str
    tenant: str | None = None
    day: date | None = None
    suffix: str = ".ndjson.gz"


class ExportRecord(msgspec.Struct, frozen=True, gc=False):  # made thousands of times a file
    """One record as the ledger has it. `record` is JSON text, digit for digit. `created_at` is in UTC."""

    id: UUID
    type: str
    tenant: str
    created_at: datetime
    record: str


@dataclass(frozen=True, slots=True)
class Group:
    """Records that go to one file of a folder together, in the order of their lines. `held`: to the newest
    schema of their dataset."""

    partition: Partition
    message_ids: tuple[UUID, ...]
    size_bytes: int
    held: bool = False

    @property
    def folder(self) -> str:
        return self.partition.folder


@dataclass(frozen=True, slots=True)
class Taken:
    """What the ledger says to whoever is to write a file. `mine`: nobody else does so for a while. `stale`:
    it is stored, and the manifest may not list it yet. `fields`: its columns, where it has a schema."""

    mine: bool
    stored: bool
    stale: bool
    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Stored:
    """What was written: lines, and bytes and SHA-256 of the compressed file."""

    records: int
    size_bytes: int
    sha256: bytes


def check_payload(payload: dict[str, Any]) -> str:
    """Returns: the name of the dataset.

    Errors: `InvalidPayload` that names the field. A dataset's name becomes a folder, so it is
    lower case letters, digits, `_` and `-`, at most 63, and starts with a letter or a digit.
    """
    dataset = payload.get("dataset")
    if not isinstance(dataset, str) or DATASET.fullmatch(dataset) is None:
        raise InvalidPayload(
            "dataset must be 1 to 63 of a-z, 0-9, _ and -, and start with a letter or a digit",
            field="dataset",
        )
    record = payload.get("record")
    if not isinstance(record, dict):
        raise InvalidPayload("record must be a JSON object", field="record")
    if _size_bytes(record) > RECORD_BYTES_MAX:
        raise InvalidPayload(f"record is larger than {RECORD_BYTES_MAX} bytes as JSON", field="record")
    return dataset


def _size_bytes(record: dict[str, Any]) -> int:
    try:
        return len(json.encode(record).encode())
    except InvalidInput as error:
        raise InvalidPayload(error.detail, field="record") from None
