"""Which folder a record belongs to."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from postroom.base.errors import InvalidPayload, SettingsInvalid
from postroom.base.export_settings import ExportSettings
from postroom.channels.exports.layout import Layout, read_time, tenant_folder

PUBLISHED = datetime(2026, 11, 29, 23, 59, tzinfo=UTC)
TENANTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=200)


@pytest.mark.parametrize(
    ("value", "day"),
    [
        (1_767_225_599, "2025-12-31"),
        (1_767_225_600, "2026-01-01"),
        (1_767_225_600.25, "2026-01-01"),
        (-1, "1969-12-31"),
        ("2026-01-01", "2026-01-01"),
        ("2026-01-01T00:30:00+02:00", "2025-12-31"),
        ("2025-12-31T23:30:00-02:00", "2026-01-01"),
        ("2026-01-01T00:00:00Z", "2026-01-01"),
        ("2026-01-01 00:00:00", "2026-01-01"),
        ("0999-01-01", "0999-01-01"),
    ],
)
def test_seconds_and_iso_8601_are_times_of_a_day_in_utc(value: object, day: str) -> None:
    time = read_time(value)
    assert time is not None
    assert time.date().isoformat() == day


@pytest.mark.parametrize(
    "value",
    [
        None, True, "", "yesterday", "1767225600", 1_767_225_600_000, 1e300, float("inf"), [], {},
        "2026-02-30", "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00",
    ],
)  # fmt: skip
def test_anything_else_is_none(value: object) -> None:
    assert read_time(value) is None


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists))
@example(-(10**30))
def test_no_value_breaks_it(value: object) -> None:
    assert read_time(value) is None or isinstance(read_time(value), datetime)


@pytest.mark.parametrize("record", [{}, {"created": "Ann"}, {"created": None}, {"created": {"at": 1}}])
def test_where_no_field_is_named_a_record_without_a_time_has_that_of_its_publishing(record: Any) -> None:
    assert Layout(ExportSettings()).day("a", record, published_s=PUBLISHED.timestamp()) == date(2026, 11, 29)


@pytest.mark.parametrize(
    "record", [{"created": 1}, {"paid": 1}, {"paid": {"at": None}}, {"paid": {"at": "x"}}]
)
def test_a_field_that_is_named_must_be_there(record: Any) -> None:
    layout = Layout(ExportSettings(time_fields={"a": "paid.at"}))
    with pytest.raises(InvalidPayload) as refused:
        layout.day("a", record, published_s=PUBLISHED.timestamp())
    assert refused.value.field == "record.paid.at"
    assert layout.day("b", {"created": 1}, published_s=PUBLISHED.timestamp()) == date(1970, 1, 1)
    assert layout.day("a", {"paid": {"at": 1}}, published_s=PUBLISHED.timestamp()) == date(1970, 1, 1)


@given(TENANTS, TENANTS)
@example("", "_")
@example("a/b", "a!2Fb")
@example("x" * 200 + "\U0001f600", "x" * 201)
@example("..", ".")
def test_tenants_never_share_a_folder_and_none_leaves_its_own(one: str, other: str) -> None:
    folder = tenant_folder(one)
    assert re.fullmatch(r"(?![._])[A-Za-z0-9._!-]{1,200}|_", folder)
    assert (folder == tenant_folder(other)) is (one == other)


def test_an_ordinary_tenant_is_its_own_folder() -> None:
    assert [tenant_folder(each) for each in ("cus_1", "acme.example", "4711")] == [
        "cus_1",
        "acme.example",
        "4711",
    ]


def test_the_layout_is_a_setting() -> None:
    layout = Layout(ExportSettings(layout="day={date}/{dataset}"))
    assert layout.folder(dataset="a", tenant="t", day=date(2026, 1, 2)) == "day=2026-01-02/a"


@pytest.mark.parametrize(
    "layout",
    [
        "", "{tenant}/{date}", "/{dataset}", "{dataset}/", "{dataset}//{date}", "../{dataset}",
        ".staging/{dataset}", "{dataset}-{tenant}", "{dataset}/{hour}", "{dataset}/{", "{dataset}/{{date}}",
        "{dataset}/a b", "{dataset}/%2e", "{dataset}/{date!r}", "{dataset}/ü",
    ],
)  # fmt: skip
def test_a_layout_that_cannot_be_is_refused_by_name(layout: str) -> None:
    with pytest.raises(SettingsInvalid, match="POSTROOM_EXPORTS__LAYOUT"):
        Layout(ExportSettings(layout=layout))


@pytest.mark.parametrize("fields", [{"a": ""}, {"a": "x."}, {"A b": "x"}])
def test_a_time_field_that_cannot_be_is_refused_by_name(fields: dict[str, str]) -> None:
    with pytest.raises(SettingsInvalid, match="POSTROOM_EXPORTS__TIME_FIELDS"):
        Layout(ExportSettings(time_fields=fields))
