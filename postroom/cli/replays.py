"""`postroom replays`: replays of many while they run; pause, resume or undo them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Final

import typer

from postroom.admin import replay as actions
from postroom.base.ids import parse_uuid
from postroom.cli.output import JsonFlag, examples, print_json, print_table
from postroom.cli.session import Session, in_session
from postroom.outbox.ledger.replay_runs import Progress, ReplayRun, fetch_run, list_runs

group = typer.Typer(
    help="Replays of many: their progress; pause, resume or undo them.", invoke_without_command=True
)

SHOWN_MAX: Final = 20
RunId = Annotated[str, typer.Argument(metavar="REPLAY_ID", help="Which; see: postroom replays list")]


@group.callback()
def replays(context: typer.Context, as_json: JsonFlag = False) -> None:
    """Replays of many: their progress; pause, resume or undo them."""
    if context.invoked_subcommand is None:
        list_(as_json=as_json)


@group.command("list")
def list_(as_json: JsonFlag = False) -> None:
    """The latest replays of many, newest first."""

    async def work(session: Session) -> list[ReplayRun]:
        return await list_runs(session.conn, limit=SHOWN_MAX)

    runs = in_session(work)
    if as_json:
        print_json(runs)
        return
    print_table(
        ("REPLAY", "STATE", "MESSAGES", "PER SECOND", "BY", "STARTED"),
        ((r.id, r.state, r.items, r.pace_per_s or "at once", r.actor, r.created_at) for r in runs),
        empty="No replay of many in the last 30 days.",
    )


@group.command()
def show(run_id: RunId, as_json: JsonFlag = False) -> None:
    """What has become of the messages of a replay."""

    async def work(session: Session) -> Progress:
        return await fetch_run(session.conn, parse_uuid(run_id, field="REPLAY_ID"))

    found = in_session(work)
    if as_json:
        print_json(found)
        return
    print_table(
        ("STATE", "DONE", "WAITING", "RETRYING", "DEAD AGAIN", "HELD", "TAKEN BACK"),
        [
            (
                f"{found.run.state}, looking for more" if found.walking else found.run.state,
                found.done,
                found.waiting,
                found.retrying,
                found.dead,
                found.held,
                found.returned,
            )
        ],
        empty="",
    )


@group.command(epilog=examples("postroom replays pause 0198c5e2-7b1c-7cc3-8f6e-0f4d7a6b9c10"))
def pause(run_id: RunId) -> None:
    """Put what nobody has tried yet back among the dead letters, until it is resumed."""
    print(f"Paused: {_change(actions.pause, run_id)} dead letters are held.")


@group.command()
def resume(run_id: RunId) -> None:
    """Go on with what was put back, at the same pace."""
    print(f"Resumed: {_change(actions.resume, run_id)} dead letters are on their way.")


@group.command()
def undo(run_id: RunId) -> None:
    """Put what nobody has tried yet back for good. What was sent stays sent."""
    print(f"Taken back: {_change(actions.undo, run_id)} are dead letters again.")


def _change(action: Callable[..., Awaitable[int]], run_id: str) -> int:
    identity = parse_uuid(run_id, field="REPLAY_ID")

    async def work(session: Session) -> int:
        async with session.change() as conn:
            return await action(conn, identity, actor=session.actor)

    return in_session(work)
