"""From claims to files: which are fit to export, and how they share files. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

import msgspec

from postroom.base.errors import InvalidInput
from postroom.channels.exports.model import DATASET, FILE_BYTES_MAX, RECORD_BYTES_MAX, Group, check_payload
from postroom.outbox.model import Claim, Rejected, rejected_payload


@dataclass(frozen=True, slots=True)
class Batch:
    """Claims sorted by what becomes of them. `records` and `rejected` go by message id."""

    records: dict[UUID, str] = field(default_factory=dict)
    sizes_bytes: dict[UUID, int] = field(default_factory=dict)
    rejected: dict[UUID, Rejected] = field(default_factory=dict)

    def groups(self, *, without: set[UUID], records_max: int) -> list[Group]:
        """What needs a new file: by dataset, in the order of the claims, within a file's limits."""
        datasets: dict[str, list[UUID]] = {}
        for message_id, dataset in self.records.items():
            if message_id not in without:
                datasets.setdefault(dataset, []).append(message_id)
        return [
            Group(dataset, message_ids)
            for dataset, together in datasets.items()
            for message_ids in self._split(together, records_max)
        ]

    def _split(self, message_ids: Sequence[UUID], records_max: int) -> Iterator[tuple[UUID, ...]]:
        group: list[UUID] = []
        size_bytes = 0
        for message_id in message_ids:
            size_bytes += self.sizes_bytes[message_id]
            if group and (size_bytes > FILE_BYTES_MAX or len(group) == records_max):
                yield tuple(group)
                group, size_bytes = [], self.sizes_bytes[message_id]
            group.append(message_id)
        if group:
            yield tuple(group)


def sort_claims(claims: Sequence[Claim]) -> Batch:
    """One that cannot be exported is rejected alone, with the field that is wrong."""
    batch = Batch()
    for claim in claims:
        try:
            size_bytes = len(claim.payload.encode())
            batch.records[claim.message_id] = _fit(claim, size_bytes) or check_payload(claim.body())
            batch.sizes_bytes[claim.message_id] = size_bytes
        except InvalidInput as error:
            batch.rejected[claim.message_id] = rejected_payload(error)
    return batch


class _Payload(msgspec.Struct):
    dataset: str
    record: msgspec.Raw


_decode: Final = msgspec.json.Decoder(_Payload).decode


def _fit(claim: Claim, size_bytes: int) -> str | None:
    """The dataset of what can plainly be exported; None where a closer look must say what is wrong."""
    try:
        read = _decode(claim.payload)
    except msgspec.MsgspecError:
        return None
    fits = size_bytes <= RECORD_BYTES_MAX and bytes(read.record).startswith(b"{")
    return read.dataset if fits and DATASET.fullmatch(read.dataset) else None
