"""How claims share files."""

from __future__ import annotations

import json
from uuid import UUID

from postroom.channels.exports.gather import sort_claims
from postroom.channels.exports.model import FILE_BYTES_MAX, Group
from postroom.outbox.model import Claim
from tests.factories.claims import make_claim


def claim(number: int, payload: object) -> Claim:
    return make_claim(message_id=UUID(int=number), channel="export", payload=json.dumps(payload))


def test_a_bad_claim_is_rejected_alone_and_named() -> None:
    batch = sort_claims(
        [
            claim(1, {"dataset": "a", "record": {}}),
            claim(2, {"dataset": "../b", "record": {}}),
            claim(3, ["no object"]),
        ]
    )
    assert list(batch.records) == [UUID(int=1)]
    assert batch.rejected[UUID(int=2)].reason.startswith("dataset must ")
    assert batch.rejected[UUID(int=3)].reason.startswith("payload: ")


def test_datasets_never_share_a_file_and_claims_keep_their_order() -> None:
    names = {5: "b", 4: "a", 3: "b", 2: "a", 1: "a"}
    batch = sort_claims([claim(n, {"dataset": name, "record": {}}) for n, name in names.items()])
    assert batch.groups(without={UUID(int=1)}, records_max=10) == [
        Group("b", (UUID(int=5), UUID(int=3))),
        Group("a", (UUID(int=4), UUID(int=2))),
    ]


def test_a_file_ends_at_its_limits() -> None:
    batch = sort_claims([claim(n, {"dataset": "a", "record": {}}) for n in range(5)])
    assert [len(group.message_ids) for group in batch.groups(without=set(), records_max=2)] == [2, 2, 1]
    for message_id in batch.sizes_bytes:
        batch.sizes_bytes[message_id] = FILE_BYTES_MAX // 3
    assert [len(group.message_ids) for group in batch.groups(without=set(), records_max=10)] == [3, 2]
