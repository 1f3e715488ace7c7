"""Filters out of the url: checked, with errors that name the field."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from starlette.requests import Request

from postroom.base.errors import InvalidInput
from postroom.base.ids import parse_uuid
from postroom.console.access.security import Form, field

TEXT_LENGTH_MAX: Final = 500
PAGE_ROWS: Final = 50


def text(request: Request, name: str) -> str | None:
    """A text to compare with; None when it is absent or empty."""
    value = request.query_params.get(name, "").strip()
    if len(value) > TEXT_LENGTH_MAX:
        raise InvalidInput(f"{name} is longer than {TEXT_LENGTH_MAX} characters", field=name)
    return value or None


def choice(request: Request, name: str, known: Collection[str]) -> str | None:
    """One of the known values. Errors: `InvalidInput` naming them."""
    value = text(request, name)
    if value is not None and value not in known:
        raise InvalidInput(f"{name} is one of {', '.join(known)}", field=name)
    return value


def moment(request: Request, name: str) -> datetime | None:
    """A time as browsers' fields send it; without a zone it is UTC."""
    return parse_moment(text(request, name), name)


def parse_moment(value: str | None, name: str) -> datetime | None:
    """The same of a form's field."""
    if not value:
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        raise InvalidInput(f"{name} is a time such as 2026-07-01T12:00", field=name) from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found


def path_id(request: Request, name: str = "id") -> UUID:
    return parse_uuid(request.path_params[name], field=name)


def number(form: Form, name: str, *, low: float, high: float, default: float) -> float:
    """Errors: `InvalidInput` naming the bounds."""
    value = field(form, name)
    if not value:
        return default
    try:
        found = float(value)
    except ValueError:
        found = float("nan")
    if not low <= found <= high:
        raise InvalidInput(f"{name} is a number from {low:g} to {high:g}", field=name)
    return found
