"""`postroom work`: the runner."""

from __future__ import annotations

from typing import Annotated

import typer

from postroom.cli.output import examples


def register(application: typer.Typer) -> None:
    @application.command(
        epilog=examples(
            "postroom work                                  the runner: every job, until it is stopped",
            "postroom work --job outbox-delivery --once     drain what is due now, then exit",
            "postroom work --job email-dlq --once           send dead emails again, after a proof of login",
        )
    )
    def work(
        job: Annotated[str | None, typer.Option(metavar="NAME", help="Only this job.")] = None,
        once: Annotated[
            bool, typer.Option("--once", help="Run now, drain until nothing is due, then exit.")
        ] = False,
    ) -> None:
        """Run the background jobs. Run as many as you like, on as many machines.

        Exit codes: 0 done, 1 the job failed, 2 wrong use.
        """
        # Imported late: the whole service is behind it, which no other command should pay for.
        from postroom.jobs.run import run_jobs

        raise typer.Exit(run_jobs(job=job, once=once))
