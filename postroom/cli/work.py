"""`postroom work`: the runner."""

from __future__ import annotations

import asyncio
from typing import Annotated, Final

import typer

from postroom.base.log import configure_logging
from postroom.base.settings import load_settings
from postroom.cli.output import examples
from postroom.cli.processes import process_count
from postroom.cli.session import told_to_children
from postroom.outbox.model import Channel

STOP_WITHIN_S: Final = 45.0
"""Of a runner: 25 s for what is in flight, and what it then closes."""


def register(application: typer.Typer) -> None:
    @application.command(
        epilog=examples(
            "postroom work                                  the runner: every job, until it is stopped",
            "postroom work --processes auto                 as many runners as there are cores",
            "postroom work --job outbox-delivery --once     drain what is due now, then exit",
            "postroom work --channel stripe --channel email  a runner for these alone, beside others",
            "postroom work --job email-dlq --once           send dead emails again, after a proof of login",
        )
    )
    def work(
        job: Annotated[str | None, typer.Option(metavar="NAME", help="Only this job.")] = None,
        once: Annotated[
            bool, typer.Option("--once", help="Run now, drain until nothing is due, then exit.")
        ] = False,
        channel: Annotated[
            list[Channel] | None, typer.Option(help="Deliver this channel only; repeat. Unset: all of them.")
        ] = None,
        processes: Annotated[
            str,
            typer.Option(metavar="N|auto", help="So many runners, kept by one supervisor; auto: one a core."),
        ] = "1",
    ) -> None:
        """Run the background jobs. Run as many as you like, on as many machines.

        With --channel, some other runner must deliver the others: DeliveriesLate tells of what nobody takes.
        Periodic jobs run in one of all runners, whichever is free. With --processes, one that ends is started
        again, and SIGHUP replaces all of them, one after the other.

        Exit codes: 0 done, 1 the job failed, 2 wrong use, 3 your code blocked it for over a minute.
        """
        count = process_count(processes)
        if once and processes != "1":
            raise typer.BadParameter("--once drains in one process: leave --processes out")
        if count > 1:
            raise typer.Exit(_supervise(count))
        # Imported late: the whole service is behind it, which no other command should pay for.
        from postroom.jobs.run import run_jobs

        raise typer.Exit(run_jobs(job=job, once=once, channels=channel or ()))


def _supervise(count: int) -> int:
    from postroom.cli.supervisor import Supervisor, same_command

    settings = load_settings(serves=False)
    configure_logging(json_lines=settings.json_lines, level=settings.log_level.upper())
    command = same_command("--processes", "1")
    with told_to_children(settings) as environment:
        supervisor = Supervisor(
            "runners",
            count,
            command=lambda _: command,
            environment=environment,
            stop_within_s=STOP_WITHIN_S,
        )
        return asyncio.run(supervisor.run())
