"""Moments as people type them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

import typer

_UNITS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_AGO = re.compile(r"(\d{1,6})([smhd])")
HINT: Final = "a duration before now such as 30m, 2h or 7d, or a time such as 2026-05-01T12:00:00Z"


def parse_since(text: str | None) -> datetime | None:
    """A moment in the past: `2h` ago, or RFC 3339 with a zone. Errors: `typer.BadParameter`."""
    return None if text is None else parse_moment(text)


def parse_moment(text: str) -> datetime:
    """The same of a text that is there."""
    if found := _AGO.fullmatch(text):
        return datetime.now(UTC) - timedelta(seconds=int(found[1]) * _UNITS[found[2]])
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not {HINT}") from None
    if moment.tzinfo is None:
        raise typer.BadParameter(f"{text!r} lacks a time zone; end it with Z for UTC")
    return moment
