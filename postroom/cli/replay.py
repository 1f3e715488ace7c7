"""`postroom replay`: dead letters become deliveries again, one or many."""

from __future__ import annotations

import sys
from typing import Annotated, Any, Final
from uuid import UUID

import typer
from rich.progress import Progress

from postroom.admin import audit
from postroom.base.ids import parse_uuid
from postroom.cli.output import JsonFlag, console, examples, print_json, print_table
from postroom.cli.session import Session, in_session
from postroom.cli.times import HINT, parse_since
from postroom.outbox.ledger.replay import BATCH_MAX, LetterFilter, Preview, preview, replay_many, replay_one
from postroom.outbox.model import Cause, Channel

LIMIT_MAX: Final = 50_000

_EXAMPLES: Final = examples(
    "postroom replay 0198c5e2-7b1c-7cc3-8f6e-0f4d7a6b9c10",
    "postroom replay --cause ours --dry-run",
    "postroom replay --channel webhook --tenant acme --since 2h --pace 20 --yes",
)

Text = str | None


def register(application: typer.Typer) -> None:
    @application.command(epilog=_EXAMPLES)
    def replay(
        message_id: Annotated[Text, typer.Argument(help="One message; otherwise use the filters.")] = None,
        *,
        channel: Annotated[Channel | None, typer.Option(help="Stripe's only when it is named.")] = None,
        cause: Annotated[Cause | None, typer.Option(help="Only this cause.")] = None,
        fingerprint: Annotated[Text, typer.Option(help="One error; see dead-letter list --grouped.")] = None,
        tenant: Annotated[Text, typer.Option(help="Only this tenant's.")] = None,
        type_: Annotated[Text, typer.Option("--type", help="The message's type.")] = None,
        destination: Annotated[Text, typer.Option(help="Only this destination.")] = None,
        since: Annotated[Text, typer.Option(help=f"Died since: {HINT}.")] = None,
        until: Annotated[Text, typer.Option(help="Died before, written the same way.")] = None,
        pace: Annotated[
            float, typer.Option(min=0, max=10_000, help="Messages per second; 0: all at once.")
        ] = 0.0,
        limit: Annotated[int, typer.Option(min=1, max=LIMIT_MAX, help="Maximum number.")] = 1_000,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be replayed.")] = False,
        yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
        as_json: JsonFlag = False,
    ) -> None:
        """Send dead letters again: one message's, or all that match every filter given, the oldest first."""
        filters: dict[str, Any] = {
            "channel": channel,
            "cause": cause,
            "fingerprint": fingerprint,
            "tenant": tenant,
            "type": type_,
            "destination": destination,
            "since": parse_since(since),
            "until": parse_since(until),
        }
        filters = {name: value for name, value in filters.items() if value is not None}
        if (message_id is None) == (not filters):
            raise typer.BadParameter(f"give a MESSAGE_ID, or at least one filter: {', '.join(_FILTERS)}")
        if message_id is not None:
            _one(parse_uuid(message_id, field="MESSAGE_ID"), dry_run=dry_run, as_json=as_json)
            return
        letters = LetterFilter(**filters, outbound_only=channel is None)
        found = in_session(lambda session: preview(session.conn, letters))
        wanted = min(found.count, limit)
        if dry_run or not wanted:
            _show(found, replayed=0, as_json=as_json)
            return
        if not yes:
            _show(found, replayed=0, as_json=False)
            _ask(wanted)
        replayed = _many(letters, wanted, pace, filters)
        _show(found, replayed=replayed, as_json=True) if as_json else print(f"Replayed {replayed}.")


_FILTERS: Final = ("--channel", "--cause", "--fingerprint", "--tenant", "--type", "--destination", "--since")


def _one(message_id: UUID, *, dry_run: bool, as_json: bool) -> None:
    if dry_run:
        letters = LetterFilter(message_ids=(message_id,))
        _show(in_session(lambda session: preview(session.conn, letters)), replayed=0, as_json=as_json)
        return

    async def work(session: Session) -> int:
        async with session.change() as conn:
            count = await replay_one(conn, message_id, actor=session.actor.name)
            await audit.record(conn, session.actor, "outbox.replay", message_id, replayed=count)
            return count

    count = in_session(work)
    if as_json:
        print_json({"id": message_id, "replayed": count})
    else:
        print(f"Replayed {count}; see how it goes: postroom dead-letter list")


def _many(letters: LetterFilter, wanted: int, pace_per_s: float, filters: dict[str, Any]) -> int:
    """Batch after batch, each with its audit row; a paced replay is one batch, so that its pace holds."""
    batch_max = LIMIT_MAX if pace_per_s else BATCH_MAX
    detail = {name: str(value) for name, value in filters.items()}

    async def batch(session: Session, limit: int) -> int:
        async with session.change() as conn:
            actor = session.actor.name
            count = await replay_many(conn, letters, actor=actor, limit=limit, pace_per_s=pace_per_s)
            done = {"replayed": count, "pace_per_s": pace_per_s, **detail}
            await audit.record(conn, session.actor, "outbox.replay_many", **done)
            return count

    async def work(session: Session) -> int:
        total = 0
        with Progress(console=console(stderr=True), transient=True) as progress:
            task = progress.add_task("replaying", total=wanted)
            while total < wanted:
                limit = min(batch_max, wanted - total)
                count = await batch(session, limit)
                total += count
                progress.update(task, completed=total)
                if count < limit:
                    break
        return total

    return in_session(work)


def _ask(count: int) -> None:
    if not sys.stdin.isatty():
        raise typer.BadParameter("nobody is there to ask: add --yes, or look first with --dry-run")
    typer.confirm(f"Replay {count}?", abort=True)


def _show(found: Preview, *, replayed: int, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "matched": found.count,
                "destinations": found.destinations,
                "replayed": replayed,
                "sample": found.sample,
            }
        )
        return
    print_table(
        ("MESSAGE", "CHANNEL", "DESTINATION", "CAUSE", "REASON", "DIED"),
        ((s.message_id, s.channel, s.destination, s.cause, s.reason, s.died_at) for s in found.sample),
        empty="No dead letter matches.",
    )
    if found.count:
        print(f"{found.count} match, for {found.destinations} destinations.")
