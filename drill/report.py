"""The table that the drill prints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from drill.rehearsal import Row

HEAD: Final = ("alert", "what was broken", "fires after", "notified", "commands run", "ends after", "")


def table(rows: Sequence[Row]) -> str:
    """A table in Markdown that reads well in a terminal, too."""
    cells = [HEAD, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEAD))]
    lines = [_line(line, widths) for line in cells]
    lines.insert(1, _line(["-" * width for width in widths], widths))
    return "\n".join(lines)


def _cells(row: Row) -> tuple[str, ...]:
    verdict = "FAILED" if row.failure else f"not tried: {row.skipped}" if row.skipped else "passed"
    return (
        row.alert,
        row.fault,
        _seconds(row.fire_s),
        row.told,
        str(row.commands),
        _seconds(row.clear_s),
        verdict,
    )


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.0f} s"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"
