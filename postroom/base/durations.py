"""Lengths of time, for people."""

from __future__ import annotations

from typing import Final

UNITS: Final = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"), (1.0, "s"))


def span(seconds: float | None) -> str:
    """A length of time in its largest fitting unit."""
    if seconds is None:
        return "–"
    if abs(seconds) < 1:
        return f"{seconds * 1000:.0f} ms" if seconds else "0 s"
    size, unit = next(((size, unit) for size, unit in UNITS if abs(seconds) >= size), UNITS[-1])
    number = seconds / size
    return (
        f"{number:.0f} {unit}" if number >= 10 or unit == "s" else f"{number:.1f} {unit}".replace(".0 ", " ")
    )
