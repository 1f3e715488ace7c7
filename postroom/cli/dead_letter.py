"""`postroom dead-letter`: what was given up, and why."""

from __future__ import annotations

from typing import Annotated

import typer

from postroom.cli.output import JsonFlag, examples, print_json, print_table
from postroom.cli.session import Session, in_session
from postroom.cli.times import HINT, parse_since
from postroom.outbox.ledger.dead_letters import (
    DeadLetter,
    DeadLetterFilter,
    DeadLetterGroup,
    list_dead_letter_groups,
    list_dead_letters,
)
from postroom.outbox.model import Cause, Channel

group = typer.Typer(help="Dead letters: what was given up, and why.", no_args_is_help=True)

EMPTY = "No dead letter matches."


@group.callback()
def _office() -> None:
    """Dead letters: what was given up, and why."""


@group.command(
    "list",
    epilog=examples(
        "postroom dead-letter list --cause ours --since 2h",
        "postroom dead-letter list --grouped",
        "postroom dead-letter list --channel email --channel webhook --json",
    ),
)
def list_(
    *,
    channel: Annotated[list[Channel] | None, typer.Option(help="Only this channel; repeat for more.")] = None,
    cause: Annotated[Cause | None, typer.Option(help="Only this cause.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's.")] = None,
    fingerprint: Annotated[str | None, typer.Option(help="Only this error; --grouped shows them.")] = None,
    since: Annotated[str | None, typer.Option(help=f"Died since: {HINT}.")] = None,
    grouped: Annotated[
        bool, typer.Option("--grouped", help="One line per error, the most frequent first.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Maximum number of lines.")] = 50,
    as_json: JsonFlag = False,
) -> None:
    """Dead letters, newest first."""
    wanted = DeadLetterFilter(
        channels=tuple(channel) if channel else None,
        cause=cause,
        fingerprint=fingerprint,
        tenant=tenant,
        since=parse_since(since),
    )
    if grouped:
        _show_groups(wanted, limit, as_json)
    else:
        _show_letters(wanted, limit, as_json)


def _show_letters(wanted: DeadLetterFilter, limit: int, as_json: bool) -> None:
    async def work(session: Session) -> list[DeadLetter]:
        letters: list[DeadLetter] = []
        cursor = None
        while len(letters) < limit:
            async with session.change() as conn:
                page = await list_dead_letters(conn, wanted, cursor=cursor, limit=limit - len(letters))
            letters += page.rows
            cursor = page.cursor
            if cursor is None:
                break
        return letters

    letters = in_session(work)
    if as_json:
        print_json(letters)
        return
    print_table(
        ("MESSAGE", "CHANNEL", "DESTINATION", "CAUSE", "REASON", "ATTEMPTS", "DIED"),
        ((d.message_id, d.channel, d.destination, d.cause, d.reason, d.attempts, d.died_at) for d in letters),
        empty=EMPTY,
    )
    if letters:
        print("\nWhat is mended can go again: postroom replay MESSAGE, or by filter with --dry-run first.")


def _show_groups(wanted: DeadLetterFilter, limit: int, as_json: bool) -> None:
    async def work(session: Session) -> list[DeadLetterGroup]:
        async with session.change() as conn:
            return await list_dead_letter_groups(conn, wanted, limit=limit)

    groups = in_session(work)
    if as_json:
        print_json(groups)
        return
    print_table(
        ("COUNT", "CHANNEL", "CAUSE", "REASON", "LAST DIED", "FINGERPRINT"),
        ((g.count, g.channel, g.cause, g.sample_reason, g.last_died_at, g.fingerprint) for g in groups),
        empty=EMPTY,
    )
