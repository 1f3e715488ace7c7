"""`postroom schedule`: when tasks run by themselves."""

from __future__ import annotations

from typing import Annotated

import typer

from postroom.admin import schedules as actions
from postroom.base.clock import SystemClock
from postroom.base.operator_code import load_code
from postroom.channels.tasks.registry import tasks_in
from postroom.channels.tasks.schedules import Planned, list_schedules, named, schedules_in
from postroom.cli.output import JsonFlag, examples, print_json, print_table
from postroom.cli.session import Session, in_session, in_transaction

group = typer.Typer(help="Schedules of tasks: list, pause, resume, run one now.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Which one, as `list` has it.")]


def _planned(session: Session) -> dict[str, Planned]:
    return schedules_in(tasks_in(load_code(session.settings.handlers)))


@group.command("list", epilog=examples("postroom schedule list", "postroom schedule list --json"))
def list_(as_json: JsonFlag = False) -> None:
    """Every schedule in the files and modules of POSTROOM_HANDLERS, with its next time, and, by their names,
    those that runners know from other code."""
    found = in_session(lambda session: list_schedules(session.conn, _planned(session)))
    if as_json:
        print_json(found)
        return
    print_table(
        ("SCHEDULE", "TASK", "WHEN", "ZONE", "CATCH UP", "NEXT", "LAST", "PAUSED BY", "REASON"),
        (
            (s.name, s.task, s.expression, s.zone, s.catch_up, s.next_at, s.last_at, s.paused_by, s.reason)
            for s in found
        ),
        empty="There is no schedule: put @cron above a @task in a file of POSTROOM_HANDLERS.",
    )


@group.command(epilog=examples('postroom schedule pause report.daily --reason "figures are wrong"'))
def pause(
    name: Name,
    reason: Annotated[str, typer.Option(help="Why; `list` shows it.")] = "",
) -> None:
    """Publish none of its times until it is resumed. What is published already runs.

    Pause it before, or after, you take it out of the code, and no alert tells that it does not run.
    """
    in_transaction(
        lambda session: actions.pause(
            session.conn, _planned(session), name, reason=reason, actor=session.actor
        )
    )
    print(f"{name}: paused. To go on: postroom schedule resume {name}")


@group.command(epilog=examples("postroom schedule resume report.daily"))
def resume(name: Name) -> None:
    """Go on with its next time. Those of the pause are left out; to make up for one: postroom schedule run"""
    in_transaction(lambda session: actions.resume(session.conn, _planned(session), name, actor=session.actor))
    print(f"{name}: goes on.")


@group.command(epilog=examples("postroom schedule run report.daily"))
def run(name: Name) -> None:
    """Publish its task once, now. Its times stay as they are."""
    message_id = in_transaction(
        lambda session: actions.run(
            session.conn,
            named(_planned(session), name),
            now=SystemClock().now(),
            keyring=session.keyring,
            actor=session.actor,
        )
    )
    print(f"{name}: published as {message_id}. To see it: postroom messages show {message_id}")
