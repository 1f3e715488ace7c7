"""`postroom replay`: dead letters become deliveries again, one or many."""

from __future__ import annotations

from typing import Annotated, Any, Final
from uuid import UUID

import typer

from postroom.admin import replay as actions
from postroom.base.ids import parse_uuid
from postroom.cli.output import JsonFlag, confirm, examples, print_json, print_table
from postroom.cli.session import Session, in_session
from postroom.cli.times import HINT, parse_since
from postroom.outbox.ledger.dead_letters import DeadLetterFilter
from postroom.outbox.ledger.replay import REPLAYED_MAX, DryRun, Replayed, fetch_dry_run
from postroom.outbox.model import Cause, Channel

_EXAMPLES: Final = examples(
    "postroom replay 0198c5e2-7b1c-7cc3-8f6e-0f4d7a6b9c10",
    "postroom replay --cause ours --dry-run",
    "postroom replay --channel webhook --tenant acme --since 2h --pace 20 --yes",
)

Text = str | None
FreshFlag = Annotated[
    bool,
    typer.Option("--fresh", help="Mails: from their templates as they are now."),
]


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
        limit: Annotated[int, typer.Option(min=1, max=REPLAYED_MAX, help="Maximum number.")] = 1_000,
        fresh: FreshFlag = False,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be replayed.")] = False,
        yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
        as_json: JsonFlag = False,
    ) -> None:
        """Send dead letters again: one message's, or all that match every filter given, the oldest first."""
        filters: dict[str, Any] = {
            "channels": (channel,) if channel else None,
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
            _one(parse_uuid(message_id, field="MESSAGE_ID"), fresh=fresh, dry_run=dry_run, as_json=as_json)
            return
        wanted = actions.replayable(DeadLetterFilter(**filters))
        found = _look(wanted)
        count = limit if found.truncated else min(found.letters, limit)
        if dry_run or not count:
            _show(found, Replayed(0, None), as_json=as_json)
            return
        if not yes:
            _show(found, Replayed(0, None), as_json=False)
            confirm(f"Replay {count}?", yes=False, otherwise="add --yes, or look first with --dry-run")
        replayed = _many(wanted, limit, pace, fresh=fresh)
        if as_json:
            _show(found, replayed, as_json=True)
            return
        print(f"Replayed {replayed.count}.")
        if replayed.run_id:
            print(f"Progress, pause, undo: postroom replays show {replayed.run_id}")


_FILTERS: Final = ("--channel", "--cause", "--fingerprint", "--tenant", "--type", "--destination", "--since")


def _look(wanted: DeadLetterFilter) -> DryRun:
    async def work(session: Session) -> DryRun:
        async with session.change() as conn:
            return await fetch_dry_run(conn, wanted)

    return in_session(work)


def _one(message_id: UUID, *, fresh: bool, dry_run: bool, as_json: bool) -> None:
    if dry_run:
        found = _look(DeadLetterFilter(message_ids=(message_id,)))
        _show(found, Replayed(0, None), as_json=as_json)
        return

    async def work(session: Session) -> int:
        async with session.change() as conn:
            return await actions.replay_one(conn, message_id, fresh=fresh, actor=session.actor)

    count = in_session(work)
    if as_json:
        print_json({"id": message_id, "replayed": count})
    else:
        print(f"Replayed {count}; see how it goes: postroom dead-letter list")


def _many(wanted: DeadLetterFilter, limit: int, pace_per_s: float, *, fresh: bool) -> Replayed:
    async def work(session: Session) -> Replayed:
        async with session.change() as conn:
            return await actions.replay_many(
                conn, wanted, limit=limit, pace_per_s=pace_per_s, fresh=fresh, actor=session.actor
            )

    return in_session(work)


def _show(found: DryRun, replayed: Replayed, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "matched": found.letters,
                "destinations": found.receivers,
                "replayed": replayed.count,
                "sample": found.sample,
                "run_id": replayed.run_id,
            }
        )
        return
    print_table(
        ("MESSAGE", "CHANNEL", "DESTINATION", "CAUSE", "REASON", "DIED"),
        ((s.message_id, s.channel, s.destination, s.cause, s.reason, s.died_at) for s in found.sample),
        empty="No dead letter matches.",
    )
    if found.letters:
        print(f"{found.letters} match, for {found.receivers} destinations.")
