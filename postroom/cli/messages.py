"""`postroom messages`: what was published, what became of it, and what waits for a retry."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import typer

from postroom.admin import messages as actions
from postroom.admin import replay
from postroom.base.bounded_page import BoundedPage
from postroom.channels.email.template import folders_of
from postroom.channels.email.template_origin import TemplateOrigin, fetch_origin
from postroom.cli.output import JsonFlag, confirm, examples, print_json, print_table
from postroom.cli.replay import FreshFlag
from postroom.cli.session import Session, in_session, in_transaction
from postroom.cli.times import HINT, parse_since
from postroom.outbox.ledger.messages import (
    OPEN,
    LedgerEntry,
    LedgerFilter,
    Status,
    Waiting,
    list_messages,
    list_waiting,
)
from postroom.outbox.ledger.story import AttemptEntry, BatchState, MessageStory, fetch_message, list_attempts
from postroom.outbox.model import Channel

group = typer.Typer(help="Messages: what was published, and what became of it.", no_args_is_help=True)

EMPTY = "No message matches."
NO_ATTEMPT = "No attempt was made."
Text = str | None


@group.callback()
def _messages() -> None:
    """Messages: what was published, and what became of it."""


@group.command(
    "list",
    epilog=examples(
        "postroom messages list --status retry",
        "postroom messages list --status pending --channel webhook --tenant acme",
        "postroom messages list --since 1h --limit 200 --json",
    ),
)
def list_(
    *,
    channel: Annotated[Channel | None, typer.Option(help="Only this channel.")] = None,
    status: Annotated[Status | None, typer.Option(help="Only this status.")] = None,
    tenant: Annotated[Text, typer.Option(help="Only this tenant's.")] = None,
    type_: Annotated[Text, typer.Option("--type", help="Only this type.")] = None,
    key: Annotated[Text, typer.Option(help="Only this key.")] = None,
    correlation_id: Annotated[Text, typer.Option(help="Only this correlation id.")] = None,
    since: Annotated[Text, typer.Option(help=f"Published since: {HINT}.")] = None,
    until: Annotated[Text, typer.Option(help="Published before, written the same way.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="Maximum number.")] = 50,
    cursor: Annotated[Text, typer.Option(help="Continue after the previous page.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Messages, newest first.

    With --status pending, retry, parked or awaiting_batch (and no key or correlation id): deliveries, longest
    due first.
    """
    wanted = LedgerFilter(
        channel, status, tenant, type_, key, correlation_id, parse_since(since), parse_since(until)
    )
    waiting = status in OPEN and key is None and correlation_id is None

    async def work(session: Session) -> BoundedPage[LedgerEntry] | BoundedPage[Waiting]:
        async with session.conn.transaction(isolation="repeatable_read", readonly=True):
            read = list_waiting if waiting else list_messages
            return await read(session.conn, wanted, cursor=cursor, limit=limit)

    page = in_session(work)
    if as_json:
        print_json({"items": page.rows, "next_cursor": page.cursor})
        return
    _show(page)
    if page.cursor:
        seen = "The scan ended early; more may match" if page.truncated else "There are more"
        print(f"\n{seen}: add --cursor {page.cursor}")


def _show(page: BoundedPage[LedgerEntry] | BoundedPage[Waiting]) -> None:
    columns: tuple[str, ...] = ("MESSAGE", "CHANNEL", "TYPE", "TENANT", "STATUS", "PUBLISHED")
    rows: list[tuple[object, ...]] = []
    for each in page.rows:
        head = (each.id, each.channel, each.type, each.tenant)
        if isinstance(each, LedgerEntry):
            rows.append((*head, each.status, each.created_at))
        else:
            columns = (
                "MESSAGE",
                "CHANNEL",
                "TYPE",
                "TENANT",
                "DESTINATION",
                "ATTEMPTS",
                "DUE",
                "LAST REASON",
            )
            rows.append((*head, each.destination, each.attempts, each.due_at, each.last_reason))
    print_table(columns, rows, empty=EMPTY)


@group.command(epilog=examples("postroom messages show 01a22277-ed7a-7b50-93a5-7e394081ed6d"))
def show(
    message: Annotated[UUID, typer.Argument(help="The message's id.")], as_json: JsonFlag = False
) -> None:
    """One message without its payload: what became of it, and what a mail was rendered from."""

    async def work(session: Session) -> tuple[MessageStory, TemplateOrigin | None]:
        async with session.conn.transaction(isolation="repeatable_read", readonly=True):
            story = await fetch_message(session.conn, message, keyring=None)
            folders = folders_of(session.settings.email)
            return story, await fetch_origin(
                session.conn, story.content_hash, keyring=session.keyring, folders=folders
            )

    story, origin = in_session(work)
    if as_json:
        print_json(
            {
                "message": story.message,
                "attempts": len(story.attempts),
                "template": origin,
                "open": story.open_deliveries,
                "batch": story.batch,
            }
        )
        return
    _show(BoundedPage([story.message]))
    for each in story.open_deliveries:
        if each.progress is not None or each.cancelled_by:
            asked = f", asked to end by {each.cancelled_by}" if each.cancelled_by else ""
            print(f"\nUnder way: {each.progress or 0:.0%}{asked}")
    if batch := story.batch:
        print(f"\nFollows a batch of {batch.size}, on {batch.follows_on}: {_counts(batch)}")
    print(f"\nAttempts: {len(story.attempts)}; see them: postroom messages attempts {message}")
    if origin:
        print(origin.sentence)


def _counts(batch: BatchState) -> str:
    open_ = batch.size - batch.delivered - batch.dead - batch.cancelled
    counts = {"delivered": batch.delivered, "dead": batch.dead, "cancelled": batch.cancelled, "open": open_}
    return ", ".join(f"{count} {name}" for name, count in counts.items())


@group.command(
    epilog=examples(
        "postroom messages attempts 01a22277-ed7a-7b50-93a5-7e394081ed6d",
        "postroom messages attempts 01a22277-ed7a-7b50-93a5-7e394081ed6d --endpoint 01a2221f-…",
    ),
)
def attempts(
    message: Annotated[UUID, typer.Argument(help="The message's id.")],
    *,
    endpoint: Annotated[UUID | None, typer.Option(help="Only those at this endpoint.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """The attempts at one message, oldest first, and where each went."""

    async def work(session: Session) -> list[AttemptEntry]:
        return await list_attempts(session.conn, message, endpoint_id=endpoint)

    found = in_session(work)
    if as_json:
        print_json({"items": found})
        return
    columns = ["ENDED", "DESTINATION", "ATTEMPT", "OUTCOME", "CODE", "REASON"]
    rows = [(a.ended_at, a.destination, a.attempt, a.outcome, a.code, a.reason) for a in found]
    if any(a.route or a.provider_id for a in found):
        columns += ["ROUTE", "PROVIDER'S ID"]
        print_table(
            columns, [(*row, a.route, a.provider_id) for row, a in zip(rows, found, strict=True)], empty=""
        )
        return
    print_table(columns, rows, empty=NO_ATTEMPT)


@group.command(
    epilog=examples(
        "postroom messages resend 01a22277-ed7a-7b50-93a5-7e394081ed6d --endpoint 01a2221f-… --yes",
    ),
)
def resend(
    message: Annotated[UUID, typer.Argument(help="The message's id.")],
    *,
    endpoint: Annotated[UUID | None, typer.Option(help="Only to this endpoint.")] = None,
    fresh: FreshFlag = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Send again what was delivered, under the same id, to everybody who has it or to one endpoint."""
    confirm("Whoever does not deduplicate on the id gets it twice. Send it again?", yes=yes)
    count = in_transaction(
        lambda s: replay.resend(s.conn, message, endpoint_id=endpoint, fresh=fresh, actor=s.actor)
    )
    if as_json:
        print_json({"id": message, "resent": count})
        return
    print(f"Sent again: {count} on the way; see how it goes: postroom messages attempts {message}")


@group.command(epilog=examples("postroom messages cancel 01a22277-ed7a-7b50-93a5-7e394081ed6d"))
def cancel(
    message: Annotated[UUID, typer.Argument(help="The message's id.")], as_json: JsonFlag = False
) -> None:
    """What has not been sent of a message never is; a task that runs is asked to end."""
    done = in_transaction(lambda s: actions.cancel(s.conn, message, actor=s.actor))
    if as_json:
        print_json({"id": message, "cancelled": done.cancelled, "asked": done.asked})
        return
    print(done.sentence)
