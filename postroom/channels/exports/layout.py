"""Which folder a record belongs to: its dataset, its tenant, and the day of its own time. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final

from postroom.base.errors import InvalidPayload, SettingsInvalid
from postroom.base.export_settings import ExportSettings
from postroom.channels.exports.destinations import place
from postroom.channels.exports.model import DATASET, Partition

DEFAULT_FIELD: Final = "created"
DAY_S: Final = 86_400
CACHED_MAX: Final = 10_000
"""Folders that records went to lately."""
FOLDER_MAX: Final = 200
"""Characters of a tenant's folder; file systems know 255."""

_EPOCH: Final = date(1970, 1, 1).toordinal()
_FIELD = re.compile(r"\{(dataset|tenant|date)\}")
_SEGMENT = re.compile(r"(?!\.)[A-Za-z0-9._=-]*(\{(dataset|tenant|date)\})?[A-Za-z0-9._=-]*")
_UNSAFE = re.compile(rb"^[._]|[^A-Za-z0-9._-]")


class Layout:
    """Promise: one folder for one dataset, tenant and day, whatever a tenant is called."""

    def __init__(self, settings: ExportSettings) -> None:
        """Errors: `SettingsInvalid` with each setting that no file could be put by."""
        self._settings = settings
        self._template = settings.layout
        self.partition = lru_cache(CACHED_MAX)(self._partition)
        self._time_fields = settings.time_fields
        if faults := [*_layout_faults(settings.layout), *_field_faults(settings.time_fields)]:
            raise SettingsInvalid(faults)

    def _partition(self, *, dataset: str, tenant: str, day: date, suffix: str) -> Partition:
        """Where it lies, and what of this everything in the folder has in common."""
        return Partition(
            place(
                self._settings.destination_of(dataset=dataset, tenant=tenant),
                self.folder(dataset=dataset, tenant=tenant, day=day),
            ),
            dataset,
            tenant if "{tenant}" in self._template else None,
            day if "{date}" in self._template else None,
            suffix,
        )

    def folder(self, *, dataset: str, tenant: str, day: date) -> str:
        values = {"dataset": dataset, "tenant": tenant_folder(tenant), "date": day.isoformat()}
        return _FIELD.sub(lambda found: values[found[1]], self._template)

    @property
    def named(self) -> Collection[str]:
        """The datasets of which the settings say where the time of their records is."""
        return self._time_fields.keys()

    def day(self, dataset: str, record: Mapping[str, Any], *, published_s: float) -> date:
        """The day of the record's time, in UTC; of `published_s` where no field is named, and `created` none.

        Errors: `InvalidPayload` naming the field of the settings that is missing, or is no time.
        """
        named = self._time_fields.get(dataset)
        found = _read_day(record.get(DEFAULT_FIELD) if named is None else _value(record, named))
        if found is None and named is not None:
            raise InvalidPayload(
                f"record.{named} must be a time: seconds since 1970, or ISO 8601", field=f"record.{named}"
            )
        return found or _day(published_s // DAY_S)


def read_time(value: object) -> datetime | None:
    """Seconds since 1970, or ISO 8601, in UTC where it names no zone; None where it is neither."""
    try:
        if isinstance(value, str):
            time = datetime.fromisoformat(value)
            return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return None


def _read_day(value: object) -> date | None:
    if type(value) is not int and type(value) is not float:
        time = read_time(value)
        return time.date() if time else None
    try:
        return _day(value // DAY_S)
    except (ValueError, OverflowError):
        return None


@lru_cache(CACHED_MAX)
def _day(number: float) -> date:
    """The day so many days after the first of 1970."""
    return date.fromordinal(_EPOCH + int(number))


def tenant_folder(tenant: str) -> str:
    """A name for a folder that no two tenants share. `_` is who has none."""
    if not tenant:
        return "_"
    plain = _UNSAFE.sub(lambda found: b"!%02X" % found[0][0], tenant.encode()).decode()
    if len(plain) <= FOLDER_MAX:
        return plain
    return f"{plain[: FOLDER_MAX - 34]}!!{sha256(tenant.encode()).hexdigest()[:32]}"


def _value(record: Mapping[str, Any], field: str) -> object:
    value: object = record
    for name in field.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _layout_faults(layout: str) -> list[str]:
    # One value a segment: `{dataset}-{tenant}` would be the same for `a-b`, `c` and for `a`, `b-c`.
    fields = _FIELD.findall(layout)
    if "dataset" in fields and all(
        segment and _SEGMENT.fullmatch(segment) is not None for segment in layout.split("/")
    ):
        return []
    return [
        f"POSTROOM_EXPORTS__LAYOUT: {layout!r} must be folders of letters, digits, . _ = and -, each with "
        "one of {dataset}, {tenant}, {date} at most; {dataset} must be in it"
    ]


def _field_faults(time_fields: Mapping[str, str]) -> list[str]:
    return [
        f"POSTROOM_EXPORTS__TIME_FIELDS: {dataset!r} = {field!r} is no dataset, or names no field"
        for dataset, field in time_fields.items()
        if DATASET.fullmatch(dataset) is None or not all(field.split("."))
    ]
