"""`postroom stripe`: what Stripe has and we missed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import typer
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from postroom.admin import stripe as actions
from postroom.base.errors import PostroomError, Unavailable
from postroom.base.ids import parse_uuid
from postroom.base.stripe_account import OWN_ACCOUNT
from postroom.channels.stripe.backfill import Backfilled, Refused
from postroom.channels.stripe.client import EventQuery
from postroom.channels.stripe.event import split_account
from postroom.cli import stripe_load, stripe_setup
from postroom.cli.output import JsonFlag, confirm, console, examples, print_json, print_table
from postroom.cli.session import Session, in_session, in_transaction
from postroom.cli.times import HINT, parse_moment, parse_since

KEPT: Final = timedelta(days=30)

group = typer.Typer(help="Stripe's events.", no_args_is_help=True)

Text = str | None

_EXAMPLES: Final = examples(
    "postroom stripe backfill --since 3d --dry-run",
    "postroom stripe backfill --since 2026-05-01T12:00:00Z --until 1h",
    "postroom stripe backfill --since 3d --type 'invoice.*'",
    "postroom stripe backfill --since 3d --effects",
)


_LOOKED_UP_EXAMPLES: Final = examples(
    "postroom stripe looked-up 0198c5e2-7b1c-7cc3-8f6e-0f4d7a6b9c10 --done --object re_1",
    "postroom stripe looked-up 0198c5e2-7b1c-7cc3-8f6e-0f4d7a6b9c10 --not-done",
)
_AGAIN_EXAMPLES: Final = examples("postroom stripe reprocess 0198c5e2-7b1c-7cc3-8f6e-0f4d7a6b9c10")


group.command(epilog=stripe_setup.EXAMPLES)(stripe_setup.setup)
group.command(epilog=stripe_load.EXAMPLES)(stripe_load.load)


class BackfillStopped(PostroomError):
    """It ended before it was through."""


@group.callback()
def _group() -> None:
    """Stripe's events."""


@group.command(epilog=_EXAMPLES)
def backfill(
    *,
    since: Annotated[str, typer.Option(help=f"Created since: {HINT}.")],
    until: Annotated[Text, typer.Option(help="Created before, written the same way.")] = None,
    type_: Annotated[Text, typer.Option("--type", help="Only this type: invoice.paid or invoice.*")] = None,
    account: Annotated[
        Text,
        typer.Option(help="A connected account's (acct_1), or of the settings' account eu: eu, eu/acct_1."),
    ] = None,
    wait_s: Annotated[
        float,
        typer.Option(
            min=0, max=86_400, help="How long to wait for Stripe while it is unavailable, in seconds."
        ),
    ] = 600.0,
    effects: Annotated[
        bool, typer.Option("--effects", help="Cause what routes and handlers say. Looks and asks first.")
    ] = False,
    age_max: Annotated[
        str, typer.Option(help=f"With --effects: what is older causes nothing. {HINT.capitalize()}.")
    ] = "3d",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what is missing.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Fetch what Stripe could not deliver. Known events are skipped; it can be run again at any time.

    By default it fills the mirror and the ledger and causes nothing: no mail, no webhook, no export. That is
    caught up on by --effects, by postroom stripe reprocess, and when Stripe sends such an event after all.

    Stripe lists the events of 30 days, thin ones, too. Needs POSTROOM_STRIPE__API_KEY, which may read them.
    """
    wanted = Wanted(_query(since, until, type_, account), parse_moment(age_max) if effects else None, wait_s)
    if dry_run or (effects and not yes):
        _show(in_session(lambda session: _run(session, wanted, dry_run=True)), as_json=as_json and dry_run)
        if dry_run:
            return
        confirm(
            "Take it in, with its effects?", yes=False, otherwise="add --yes, or look first with --dry-run"
        )
    done = in_session(lambda session: _run(session, wanted, dry_run=False))
    if as_json:
        print_json(done)
        return
    print(_told(done))
    if done.taken > done.effects:
        print(f"{done.taken - done.effects} of them filled the mirror and caused nothing; see --effects.")


@group.command(epilog=_AGAIN_EXAMPLES)
def reprocess(
    message_id: Annotated[
        str, typer.Argument(help="The event's message, as postroom and the console show it.")
    ],
    *,
    as_json: JsonFlag = False,
) -> None:
    """Run an event through today's routes and handlers once more. What was sent before is not sent again."""
    wanted = parse_uuid(message_id, field="MESSAGE_ID")
    again = in_transaction(lambda s: actions.reprocess(s.conn, wanted, keyring=s.keyring, actor=s.actor))
    if as_json:
        print_json({"message_id": again})
        return
    print(f"On its way once more, as message {again}.")


@group.command("looked-up", epilog=_LOOKED_UP_EXAMPLES)
def looked_up(
    message_id: Annotated[str, typer.Argument(help="The call's message, as its dead letter names it.")],
    *,
    done: Annotated[
        bool, typer.Option("--done/--not-done", help="Whether Stripe has done it.", show_default=False)
    ],
    object_id: Annotated[
        Text, typer.Option("--object", help="With --done: what it has made, such as re_1.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Go on with a call to Stripe of which nobody could tell whether it was done: you have looked.

    With --done nothing is sent, and it counts as delivered. With --not-done it is sent now, under a new
    idempotency key: if Stripe has done it after all, it does it twice.
    """
    wanted = parse_uuid(message_id, field="MESSAGE_ID")
    replayed = in_transaction(
        lambda s: actions.looked_up(s.conn, wanted, done=done, object_id=object_id, actor=s.actor)
    )
    if as_json:
        print_json({"message_id": wanted, "replayed": replayed})
        return
    print("It counts as done." if done else "It is on its way, under a new key.")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a backfill was asked for."""

    query: EventQuery
    effects_since: datetime | None
    wait_s: float


def _show(found: Backfilled, *, as_json: bool) -> None:
    """After a dry run."""
    if as_json:
        print_json(found)
        return
    print_table(
        ("EVENT", "TYPE", "OBJECT", "CREATED"),
        ((m.event_id, m.type, m.object_id, m.created) for m in found.sample),
        empty="Nothing is missing.",
    )
    print(_told(found))


def _query(since: str, until: str | None, type_: str | None, account: str | None) -> EventQuery:
    begins, ends = parse_since(since), parse_since(until)
    now = datetime.now(UTC)
    if begins is None or begins < now - KEPT - timedelta(minutes=1):
        raise typer.BadParameter("Stripe lists the events of 30 days; give --since 30d or later")
    if begins >= (ends or now):
        raise typer.BadParameter("--since must lie before --until, and in the past")
    via, connected = split_account(account or OWN_ACCOUNT)
    return EventQuery(since=begins, until=ends, type=type_, account=connected, via=via)


async def _run(session: Session, wanted: Wanted, *, dry_run: bool) -> Backfilled:
    # Imported late: all channels are behind it, which no other command should pay for.
    from postroom.wiring import open_backfill

    so_far = Backfilled()
    with _progress() as progress:
        task = progress.add_task("asking Stripe", total=None)
        waits = _waits(progress)

        def told(now: Backfilled) -> None:
            nonlocal so_far
            so_far = now
            progress.update(task, description=_told(now))

        async with open_backfill(session.settings, session.dsn) as opened:
            opened.check(wanted.query)
            try:
                if dry_run:
                    return await opened.run(
                        wanted.query,
                        effects_since=wanted.effects_since,
                        dry_run=True,
                        wait_s=wanted.wait_s,
                        told=told,
                        waits=waits,
                    )
                return await actions.backfill(
                    opened,
                    wanted.query,
                    effects_since=wanted.effects_since,
                    transactions=session.change,
                    wait_s=wanted.wait_s,
                    told=told,
                    waits=waits,
                    actor=session.actor,
                )
            except (Unavailable, Refused) as error:
                raise BackfillStopped(
                    f"{error.detail}.\n{_told(so_far)} That stays; run the same command again to go on."
                ) from error


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), TimeElapsedColumn())
    return Progress(*columns, console=console(stderr=True), transient=True)


def _waits(progress: Progress) -> Callable[[str, float], None]:
    def waits(reason: str, pause_s: float) -> None:
        progress.console.print(f"waiting {pause_s:.0f} s: {reason}", markup=False)

    return waits


def _told(done: Backfilled) -> str:
    left_out = f" Thin events were left out: {done.left_out}." if done.left_out else ""
    effects = f" ({done.effects} with effects)" if done.effects else ""
    return (
        f"{done.listed} listed by Stripe, {done.duplicates} known already, {done.missing} missing{effects}, "
        f"{done.taken} taken in.{left_out}"
    )
