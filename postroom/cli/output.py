"""How commands print: a table for people, JSON for programs."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Final
from uuid import UUID

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from postroom.base.foreign_text import visible

PIPED_WIDTH: Final = 160
ID_WIDTH: Final = 36

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def examples(*lines: str) -> str:
    """The end of a help page. An empty line between two keeps them apart."""
    return "\n\n".join(("[bold]Examples[/bold]", *(f"  {line}" for line in lines)))


def console(*, stderr: bool = False) -> Console:
    """Wide when piped, so that nobody greps through wrapped lines."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() else PIPED_WIDTH, highlight=False)


def confirm(question: str, *, yes: bool, otherwise: str = "add --yes") -> None:
    """Ask, unless it was said already. Errors: `BadParameter` where nobody is there, `Abort` for a no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise typer.BadParameter(f"nobody is there to ask: {otherwise}")
    typer.confirm(question, abort=True)


def print_json(value: object) -> None:
    """Dataclasses, ids and times included; two spaces of indentation."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """A table, or the sentence `empty` when there are no rows. Ids stay whole, to be copied."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    kept = list(rows)
    for n, column in enumerate(columns):
        is_id = any(isinstance(row[n], UUID) for row in kept)
        table.add_column(column, overflow="fold", no_wrap=is_id, min_width=ID_WIDTH if is_id else None)
    for row in kept:
        table.add_row(*(cell(value) for value in row))
    console().print(table if kept else empty, markup=False)


def cell(value: object) -> str:
    """Text of one cell, for `markup=False`; what strangers wrote moves no cursor and starts no colour."""
    match value:
        case None:
            return "-"
        case datetime():
            return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        case bool():
            return "yes" if value else "no"
        case _:
            return visible(value)
