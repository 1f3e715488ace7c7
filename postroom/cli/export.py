"""`postroom export`: the files that analysts read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date
from typing import Annotated

import typer

from postroom.admin import exports as actions
from postroom.channels.exports.upkeep import LISTED_MAX, FileFilter, ListedFile, list_files
from postroom.cli.output import JsonFlag, confirm, examples, print_json, print_table
from postroom.cli.session import in_session, in_transaction
from postroom.cli.times import HINT, parse_moment

group = typer.Typer(help="Export files: list them, write them again.", no_args_is_help=True)

Dataset = Annotated[str, typer.Option(help="Of this dataset.")]
Since = Annotated[
    str | None, typer.Option(help=f"From this day of the records on: a day such as 2026-11-01, {HINT}.")
]
Until = Annotated[str | None, typer.Option(help="Before this day, written the same way.")]
Tenant = Annotated[str | None, typer.Option(help="Only this tenant's.")]


@group.command(
    "list", epilog=examples("postroom export list --dataset orders --since 7d", "postroom export list --json")
)
def list_(
    *,
    dataset: Annotated[str | None, typer.Option(help="Only of this dataset.")] = None,
    since: Since = None,
    until: Until = None,
    tenant: Tenant = None,
    limit: Annotated[int, typer.Option(min=1, max=LISTED_MAX, help="Maximum number.")] = 1_000,
    as_json: JsonFlag = False,
) -> None:
    """Files by the day of their records, and whether the manifest of their folder lists them."""
    which = FileFilter(dataset=dataset, since=parse_day(since), until=parse_day(until), tenant=tenant)
    found = in_session(lambda session: list_files(session.conn, which, limit=limit))
    if as_json:
        print_json(found)
        return
    _print(found)
    if len(found) == limit:
        print(f"There may be more than {limit}; see --limit.")


@group.command(
    epilog=examples(
        "postroom export again --dataset orders --since 2026-11-01 --until 2026-11-08 --dry-run",
        "postroom export again --dataset orders --since 2d --tenant acme --yes",
    )
)
def again(
    *,
    dataset: Dataset,
    since: Since = None,
    until: Until = None,
    tenant: Tenant = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be written.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Write stored files again from the ledger, under the same names: where somebody lost or damaged them.

    A file of which a record's payload is emptied or erased can not be written again, and is left as it is.
    """
    which = FileFilter(dataset=dataset, since=parse_day(since), until=parse_day(until), tenant=tenant)
    found = in_session(lambda session: actions.look_again(session.conn, which))
    if not dry_run and found.files:
        confirm(
            f"Write {len(found.files)} files again?", yes=yes, otherwise="add --yes, or look with --dry-run"
        )
        found = in_transaction(lambda session: actions.write_again(session.conn, which, actor=session.actor))
    if as_json:
        print_json(found)
        return
    _print(found.files)
    for file in found.incomplete:
        print(f"Not all of its records are in the ledger any more: {file.path}")
    if found.files and not dry_run:
        print("The job writes them within a minute or so: postroom jobs run export-files")


def parse_day(text: str | None) -> date | None:
    """A day, or the day of a moment, in UTC. Errors: `typer.BadParameter`."""
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return parse_moment(text).astimezone(UTC).date()


def _print(files: Sequence[ListedFile]) -> None:
    print_table(
        ("DAY", "TENANT", "RECORDS", "BYTES", "STATE", "PATH"),
        (
            (
                file.day.isoformat(),
                file.tenant or None,
                file.records,
                file.size_bytes,
                file.state,
                file.path,
            )
            for file in files
        ),
        empty="There is no such file.",
    )
