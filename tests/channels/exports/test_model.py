"""What an export refuses."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroom.base.errors import InvalidPayload
from postroom.channels.exports.model import RECORD_BYTES_MAX, check_payload

HOSTILE = [
    "", ".", "..", "../up", "a/b", "a\\b", "/etc", ".hidden", "-option", "_x", "UPPER", "a b", "a\n",
    "a\x00b",    "ünïcode", "a.b", "dt=1", "a%2fb", "a" * 64, "\u202egnp", None, 7, ["a"], {"a": 1}, True,
]  # fmt: skip


@pytest.mark.parametrize("dataset", HOSTILE)
def test_a_hostile_dataset_name_is_refused_by_field(dataset: object) -> None:
    with pytest.raises(InvalidPayload) as refused:
        check_payload({"dataset": dataset, "record": {}})
    assert refused.value.field == "dataset"


@pytest.mark.parametrize("dataset", ["a", "0", "invoices", "in-voices_2", "a" * 63])
def test_a_plain_dataset_name_is_taken(dataset: str) -> None:
    assert check_payload({"dataset": dataset, "record": {"id": 1}}) == dataset


@pytest.mark.parametrize(
    "payload",
    [
        {"dataset": "a"},
        {"dataset": "a", "record": None},
        {"dataset": "a", "record": []},
        {"dataset": "a", "record": "text"},
        {"dataset": "a", "record": {"text": "x" * RECORD_BYTES_MAX}},
        {"dataset": "a", "record": {"text": "\x00"}},
        {"dataset": "a", "record": {"text": "\ud800"}},
    ],
    ids=["missing", "null", "list", "text", "too large", "NUL", "lone surrogate"],
)
def test_a_record_that_cannot_be_exported_is_refused_by_field(payload: dict[str, Any]) -> None:
    with pytest.raises(InvalidPayload) as refused:
        check_payload(payload)
    assert refused.value.field == "record"


def test_a_record_of_the_largest_size_is_taken() -> None:
    frame = len('{"text":""}')
    assert check_payload({"dataset": "a", "record": {"text": "x" * (RECORD_BYTES_MAX - frame)}}) == "a"


@given(st.text())
def test_no_name_that_is_taken_leaves_its_folder(dataset: str) -> None:
    try:
        check_payload({"dataset": dataset, "record": {}})
    except InvalidPayload:
        return
    assert dataset.isascii()
    assert not set(dataset) & set("./\\%=\n\x00")
