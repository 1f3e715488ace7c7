"""`postroom doctor`: what is wrong, on one screen, each with the command that mends it."""

from __future__ import annotations

import asyncio
import sys
from contextlib import redirect_stdout
from dataclasses import replace
from functools import partial
from typing import Final

import typer
from rich.text import Text

from postroom.base.foreign_text import visible
from postroom.base.settings import Settings, load_settings
from postroom.channels.stripe.effects import Effects
from postroom.cli.output import JsonFlag, console, print_json
from postroom.cli.session import each_ledger, open_database
from postroom.health.findings import Finding, Level

_MARKS: Final = {Level.OK: ("✓", "green"), Level.WARNING: ("!", "yellow"), Level.ERROR: ("✗", "red")}


def register(application: typer.Typer) -> None:
    @application.command()
    def doctor(as_json: JsonFlag = False) -> None:
        """Say what is wrong and the command that mends it. Exit code 1 when something is broken."""
        findings = [
            replace(each, subject=f"{settings.ledger} {each.subject}") if settings.ledger else each
            for settings in each_ledger(load_settings())
            for each in _examine(settings)
        ]
        if as_json:
            print_json(findings)
        else:
            _show(findings)
        if any(finding.level is Level.ERROR for finding in findings):
            raise typer.Exit(1)


def _examine(settings: Settings) -> list[Finding]:
    # Imported late: all channels and Alembic are behind them, which the help should not pay for.
    from postroom.health.doctor import diagnose
    from postroom.wiring import open_effects, open_stripe_apis

    async def load_effects() -> Effects:
        # What a handlers file prints as it is loaded is none of our answer.
        with redirect_stdout(sys.stderr):
            async with open_effects(settings) as (effects, _):
                return effects

    with console(stderr=True).status("looking"), open_database(settings) as database:
        open_stripe = partial(open_stripe_apis, settings, database.dsn)
        return asyncio.run(
            diagnose(settings, database.dsn, load_effects=load_effects, open_stripe=open_stripe)
        )


def _show(findings: list[Finding]) -> None:
    out = console()
    width = max(len(finding.subject) for finding in findings)
    for finding in findings:
        mark, colour = _MARKS[finding.level]
        out.print(Text.assemble((f"{mark} ", colour), f"{finding.subject:{width}}  {visible(finding.text)}"))
        if finding.command:
            out.print(Text(f"{'':{width + 4}}→ {finding.command}", style="bold"))
    errors = sum(finding.level is Level.ERROR for finding in findings)
    warnings = sum(finding.level is Level.WARNING for finding in findings)
    out.print(f"\n{errors} broken, {warnings} to look at." if errors or warnings else "\nAll is well.")
