"""`postroom up`: all of it in one terminal."""

from __future__ import annotations

from typing import Annotated

import typer

from postroom.base.settings import load_settings
from postroom.cli.output import examples


def register(application: typer.Typer) -> None:
    @application.command(
        epilog=examples(
            "postroom up --demo", "POSTROOM_ROUTES=routes.toml postroom up", "postroom up --demo --once"
        )
    )
    def up(
        demo: Annotated[
            bool, typer.Option("--demo", help="Send six signed Stripe events and watch.")
        ] = False,
        once: Annotated[
            bool,
            typer.Option(
                "--once", help="With --demo: on a database of its own, until every effect has arrived."
            ),
        ] = False,
    ) -> None:
        """Run everything in one terminal, for development: database, API, runner, mail catcher, receiver.

        It stays up until Ctrl-C. With --once it exits 0 when each effect of the demo arrived exactly once.
        """
        if once and not demo:
            raise typer.BadParameter("--once belongs to --demo")
        # Imported late: it brings its own servers along.
        from postroom.dev.demo import run_once
        from postroom.dev.up import run_up

        code = run_once() if once else run_up(load_settings(), demo=demo)
        raise typer.Exit(code)
