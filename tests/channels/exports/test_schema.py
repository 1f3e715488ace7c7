"""A schema grows, and never changes a type."""

from __future__ import annotations

from typing import Any

import pytest

from postroom.base.errors import InvalidPayload, SettingsInvalid
from postroom.base.export_settings import ExportSettings
from postroom.channels.exports.formats import Formats
from postroom.channels.exports.schema import (
    FIELDS_MAX,
    check,
    declare,
    decode_fields,
    encode_fields,
    infer,
    read_declared,
)


def test_the_first_records_say_the_types() -> None:
    records: list[dict[str, Any]] = [
        {"a": None, "b": 1, "c": "x", "d": True},
        {"a": {"z": 1}, "b": 1.5, "c": 2, "e": [1]},
    ]
    assert infer(records) == {"b": "number", "c": "string", "d": "boolean", "a": "json", "e": "json"}
    assert len(infer([{str(n): 1 for n in range(2 * FIELDS_MAX)}])) == FIELDS_MAX


@pytest.mark.parametrize(
    ("held", "value"),
    [
        ("integer", 1.5), ("integer", "1"), ("integer", True), ("integer", 2**63), ("boolean", 1),
        ("string", 1), ("string", {}), ("number", "1"), ("number", True), ("timestamp", "soon"),
    ],
)  # fmt: skip
def test_another_type_is_refused_by_the_name_of_the_field(held: str, value: object) -> None:
    with pytest.raises(InvalidPayload) as refused:
        check({"x": 1, "total": value}, {"total": held}, None)
    assert refused.value.field == "record.total"


@pytest.mark.parametrize(
    ("held", "value"),
    [("integer", -5), ("number", 5), ("string", ""), ("json", 1), ("timestamp", 1.5), ("integer", None)],
)
def test_what_fits_passes(held: str, value: object) -> None:
    assert check({"total": value}, {"total": held}, None) == {}


def test_a_new_field_is_added_and_one_that_is_declared_nowhere_refused() -> None:
    assert check({"new": "x", "unknown": None}, {"a": "integer"}, None) == {"new": "string"}
    with pytest.raises(InvalidPayload, match=r"record\.new is not in the schema"):
        check({"new": "x"}, {"a": "integer"}, {"a": "integer?"})
    with pytest.raises(InvalidPayload, match=r"record\.a must be there"):
        check({}, {"a": "integer"}, {"a": "integer"})
    assert check({}, {"a": "integer"}, {"a": "integer?"}) == {}
    with pytest.raises(InvalidPayload, match=f"more than {FIELDS_MAX}"):
        check({str(n): 1 for n in range(FIELDS_MAX + 1)}, {}, None)


def test_a_declaration_adds_fields_and_changes_none() -> None:
    held = {"a": "integer", "b": "string"}
    assert declare(held, {"a": "number?", "c": "json"}) == {"a": "number", "b": "string", "c": "json"}
    for change in ({"a": "string"}, {"b": "timestamp"}):
        with pytest.raises(InvalidPayload, match="use another dataset"):
            declare(held, change)


def test_the_ledger_keeps_the_order_of_columns() -> None:
    fields = {"z": "integer", "a": "string"}
    assert list(decode_fields(encode_fields(fields)).items()) == list(fields.items())


def test_settings_that_no_file_could_be_written_by_are_refused() -> None:
    with pytest.raises(SettingsInvalid) as refused:
        read_declared({"orders": {"id": "int"}, "../x": {}})
    assert len(refused.value.faults) == 2
    with pytest.raises(SettingsInvalid):
        Formats(ExportSettings(formats={"../x": "csv"}))
