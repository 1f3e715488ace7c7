"""`postroom version`."""

from __future__ import annotations

import typer

from postroom.base.version import VERSION


def register(application: typer.Typer) -> None:
    @application.command()
    def version() -> None:
        """Print the version."""
        print(VERSION)
