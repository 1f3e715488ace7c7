"""`postroom audit`: who changed what, for those who keep it elsewhere."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from postroom.admin import audit
from postroom.cli.output import examples
from postroom.cli.session import Session, in_session
from postroom.cli.times import HINT, parse_since

group = typer.Typer(no_args_is_help=True, help="The audit trail: who changed or looked at what.")


@group.command(
    epilog=examples(
        "postroom audit export > audit.ndjson",
        "postroom audit export --since 25h    every day, with an hour that is there twice",
    )
)
def export(
    since: Annotated[str | None, typer.Option(metavar="WHEN", help=f"From then on: {HINT}.")] = None,
    until: Annotated[
        str | None, typer.Option(metavar="WHEN", help="Up to then, and not then itself.")
    ] = None,
) -> None:
    """Print every entry, oldest first, one JSON object a line.

    An entry whose change is being made at that moment may be left out: let exports overlap, by id.
    """
    begin, end = parse_since(since), parse_since(until)

    async def work(session: Session) -> None:
        async for page in audit.export(session.change, since=begin, until=end):
            sys.stdout.write(page)

    in_session(work)
