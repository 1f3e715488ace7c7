"""`postroom work`: the runner."""

from __future__ import annotations

from typing import Annotated

import typer

from postroom.cli.output import examples
from postroom.outbox.model import Channel


def register(application: typer.Typer) -> None:
    @application.command(
        epilog=examples(
            "postroom work                                  the runner: every job, until it is stopped",
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
    ) -> None:
        """Run the background jobs. Run as many as you like, on as many machines.

        With --channel, some other runner must deliver the others: DeliveriesLate tells of what nobody takes.
        Periodic jobs run in one of all runners, whichever is free.

        Exit codes: 0 done, 1 the job failed, 2 wrong use.
        """
        # Imported late: the whole service is behind it, which no other command should pay for.
        from postroom.jobs.run import run_jobs

        raise typer.Exit(run_jobs(job=job, once=once, channels=channel or ()))
