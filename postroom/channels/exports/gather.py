"""From claims to files: which are fit to export, and how they share files. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, Final
from uuid import UUID

import msgspec

from postroom.base.errors import InvalidInput
from postroom.channels.exports.formats import Formats
from postroom.channels.exports.layout import DEFAULT_FIELD, Layout
from postroom.channels.exports.model import (
    DATASET,
    FILE_BYTES_MAX,
    RECORD_BYTES_MAX,
    Group,
    Partition,
    check_payload,
)
from postroom.outbox.model import Claim, Rejected, check_same, read_body, rejected_payload


class Head(msgspec.Struct, frozen=True, gc=False):
    """What is looked at of a record before anybody claims it. `size_bytes`: of the whole payload, of which
    `payload` has what `sort_claims` needs."""

    message_id: UUID
    tenant: str
    type: str
    created_s: float
    size_bytes: int
    payload: str


class Fit(msgspec.Struct, frozen=True, gc=False):  # made for each record
    """Where a record belongs, and how large it is; with `record` where its dataset has a schema."""

    partition: Partition
    size_bytes: int
    record: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Claims sorted by what becomes of them. `records` and `rejected` go by message id."""

    records: dict[UUID, Fit] = field(default_factory=dict)
    rejected: dict[UUID, Rejected] = field(default_factory=dict)

    def reject(self, message_id: UUID, error: InvalidInput) -> None:
        """It goes to no file, and the others do."""
        del self.records[message_id]
        self.rejected[message_id] = rejected_payload(error)

    def folders(self, *, without: Collection[UUID]) -> dict[str, list[UUID]]:
        """What needs a file, by folder, in the order of the claims."""
        folders: dict[str, list[UUID]] = {}
        for message_id, fit in self.records.items():
            if message_id not in without:
                folders.setdefault(fit.partition.folder, []).append(message_id)
        return folders

    def rounds(
        self, folders: Mapping[str, Sequence[UUID]], *, begun: Mapping[str, tuple[int, int]], records_max: int
    ) -> list[list[Group]]:
        """Groups to add to files one round after the other; in a round each folder is there once.

        The first of a folder fills its open file, of which `begun` has records and bytes, up to a file's
        limits, and each further one a file of its own.
        """
        split = [
            [*self._split(together, records_max, *begun.get(folder, (0, 0)))]
            for folder, together in sorted(folders.items())
        ]
        return [[group for group in nth if group is not None] for nth in zip_longest(*split)]

    def _split(
        self, message_ids: Sequence[UUID], records_max: int, begun_records: int, begun_bytes: int
    ) -> Iterator[Group]:
        group: list[UUID] = []
        size_bytes = 0
        room, room_bytes = records_max - begun_records, FILE_BYTES_MAX - begun_bytes
        for message_id in message_ids:
            own_bytes = self.records[message_id].size_bytes
            if len(group) >= room or size_bytes + own_bytes > room_bytes:
                if group:
                    yield self._group(group, size_bytes)
                group, size_bytes = [], 0
                room, room_bytes = records_max, FILE_BYTES_MAX
            group.append(message_id)
            size_bytes += own_bytes
        if group:
            yield self._group(group, size_bytes)

    def _group(self, message_ids: Sequence[UUID], size_bytes: int) -> Group:
        fit = self.records[message_ids[0]]
        return Group(fit.partition, tuple(message_ids), size_bytes, held=fit.record is not None)


def sort_claims(
    claims: Iterable[Claim | Head], layout: Layout, formats: Formats, batch: Batch | None = None
) -> Batch:
    """One that cannot be exported is rejected alone, with the field that is wrong. Adds to `batch`."""
    batch = batch or Batch()
    for claim in claims:
        try:
            batch.records[claim.message_id] = _fit(claim, layout, formats)
        except InvalidInput as error:
            batch.rejected[claim.message_id] = rejected_payload(error)
    return batch


def read_whole(layout: Layout, formats: Formats) -> list[str] | None:
    """The datasets of which more than `layout.DEFAULT_FIELD` is looked at; None: all."""
    return None if formats.default_has_schema else [*layout.named, *formats.named]


class _Payload(msgspec.Struct):
    dataset: str
    record: dict[str, Any]
    tenant: Any = None
    type: Any = None


class _Timed(msgspec.Struct):
    created: Any = None  # `layout.DEFAULT_FIELD`


class _Short(msgspec.Struct):
    dataset: str
    record: _Timed
    tenant: Any = None
    type: Any = None


_decode: Final = msgspec.json.Decoder(_Payload).decode
_decode_short: Final = msgspec.json.Decoder(_Short).decode


def _fit(claim: Claim | Head, layout: Layout, formats: Formats) -> Fit:
    """Errors: `InvalidInput` where it can go to no file."""
    payload = claim.payload or ""
    size_bytes = claim.size_bytes if isinstance(claim, Head) else len(payload.encode())
    read = _plain(payload, size_bytes, layout, formats)
    if read is None:
        body = read_body(payload)
        read = _Payload(check_payload(body), body["record"], body.get("tenant"), body.get("type"))
    check_same("tenant", read.tenant, claim.tenant)
    check_same("type", read.type, claim.type)
    day = layout.day(read.dataset, read.record, published_s=claim.created_s)
    suffix = formats.suffix(read.dataset)
    partition = layout.partition(dataset=read.dataset, tenant=claim.tenant, day=day, suffix=suffix)
    return Fit(partition, size_bytes, read.record if formats.has_schema(read.dataset) else None)


def _plain(payload: str, size_bytes: int, layout: Layout, formats: Formats) -> _Payload | None:
    """What can plainly be exported, of its record no more than is looked at; None where a closer look must
    say what is wrong."""
    try:
        short = _decode_short(payload)
        if formats.has_schema(short.dataset) or short.dataset in layout.named:
            read = _decode(payload)
        else:
            read = _Payload(short.dataset, {DEFAULT_FIELD: short.record.created}, short.tenant, short.type)
    except msgspec.MsgspecError:
        return None
    return read if size_bytes <= RECORD_BYTES_MAX and DATASET.fullmatch(read.dataset) else None
