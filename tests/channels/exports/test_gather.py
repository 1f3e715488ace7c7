"""How claims share files."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest

from postroom.base.export_settings import ExportSettings
from postroom.channels.exports import gather
from postroom.channels.exports.formats import Formats
from postroom.channels.exports.gather import sort_claims
from postroom.channels.exports.layout import Layout
from postroom.channels.exports.model import RECORD_BYTES_MAX
from postroom.outbox.model import Claim
from tests.factories.claims import make_claim

FORMATS = Formats(ExportSettings())
LAYOUT = Layout(ExportSettings(time_fields={"paid": "paid.at"}))


def claim(number: int, payload: object, **more: Any) -> Claim:
    return make_claim(message_id=UUID(int=number), channel="export", payload=json.dumps(payload), **more)


def test_a_bad_claim_is_rejected_alone_and_named() -> None:
    batch = sort_claims(
        [
            claim(1, {"dataset": "a", "record": {}}),
            claim(2, {"dataset": "../b", "record": {}}),
            claim(3, ["no object"]),
            claim(4, {"dataset": "paid", "record": {"created": 1, "paid": {"at": "soon"}}}),
            claim(5, {"dataset": "a", "record": {}, "tenant": "u"}, tenant="t"),
            claim(6, {"dataset": "a", "record": {"n": "x" * RECORD_BYTES_MAX}, "tenant": "u"}, tenant="t"),
            claim(7, {"dataset": "a", "record": {}, "type": "made"}, type="lost"),
            claim(8, {"dataset": "paid", "record": {"paid": {"at": 1}}, "tenant": "u"}, tenant="t"),
            claim(9, {"dataset": "a", "record": {}, "tenant": "t", "type": "made"}, tenant="t", type="made"),
            claim(10, {"dataset": "a", "record": {}, "tenant": 7, "type": "x" * 201}, tenant="t"),
        ],
        LAYOUT,
        FORMATS,
    )
    assert [each.int for each in batch.records] == [1, 9, 10]
    assert batch.rejected[UUID(int=2)].reason.startswith("dataset must ")
    assert batch.rejected[UUID(int=3)].reason.startswith("payload: ")
    assert batch.rejected[UUID(int=4)].reason.startswith("record.paid.at must be a time")
    reasons = [batch.rejected[UUID(int=n)].reason for n in (5, 6, 7, 8)]
    assert reasons == [
        "tenant: the payload names another tenant than its message",
        f"record is larger than {RECORD_BYTES_MAX} bytes as JSON",
        "type: the payload names another type than its message",
        "tenant: the payload names another tenant than its message",
    ]


def test_datasets_tenants_and_days_never_share_a_file_and_claims_keep_their_order() -> None:
    day = 86_400
    where = {
        6: ("b", "t", 0),
        5: ("a", "t", day),
        4: ("a", "t", 0),
        3: ("a", "u", 0),
        2: ("a", "t", 1),
        1: ("a", "t", 2),
    }
    claims = [
        claim(n, {"dataset": dataset, "record": {"created": created}}, tenant=tenant)
        for n, (dataset, tenant, created) in where.items()
    ]
    batch = sort_claims(claims, LAYOUT, FORMATS)
    [groups] = batch.rounds(batch.folders(without={UUID(int=1)}), begun={}, records_max=10)
    assert {group.folder: [each.int for each in group.message_ids] for group in groups} == {
        "a/t/dt=1970-01-01": [4, 2],
        "a/t/dt=1970-01-02": [5],
        "a/u/dt=1970-01-01": [3],
        "b/t/dt=1970-01-01": [6],
    }
    assert [group.folder for group in groups] == sorted(group.folder for group in groups)


def test_a_file_ends_at_its_limits_and_a_round_has_each_folder_once(monkeypatch: pytest.MonkeyPatch) -> None:
    claims = [claim(n, {"dataset": "a", "record": {}}) for n in range(5)]
    claims.append(claim(5, {"dataset": "b", "record": {}}))
    batch = sort_claims(claims, LAYOUT, FORMATS)

    def sizes(records_max: int, begun: dict[str, tuple[int, int]] | None = None) -> list[list[int]]:
        rounds = batch.rounds(batch.folders(without=()), begun=begun or {}, records_max=records_max)
        return [[len(group.message_ids) for group in groups] for groups in rounds]

    assert sizes(2) == [[2, 1], [2], [1]]
    [folder, _] = sorted(batch.folders(without=()))
    assert sizes(3, {folder: (1, 1)}) == [[2, 1], [3]], "what is open is filled first"
    assert sizes(3, {folder: (3, 1)}) == [[3, 1], [2]]
    size_bytes = batch.records[UUID(int=0)].size_bytes
    monkeypatch.setattr(gather, "FILE_BYTES_MAX", 3 * size_bytes)
    assert sizes(10) == [[3, 1], [2]]
    assert sizes(10, {folder: (1, 2 * size_bytes)}) == [[1, 1], [3], [1]]
    assert sizes(10, {folder: (1, 3 * size_bytes)}) == [[3, 1], [2]]
