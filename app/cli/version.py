"""`postroom version`."""

from __future__ import annotations

import typer

import app


def register(application: typer.Typer) -> None:
    @application.command()
    def version() -> None:
        """Print the version."""
        print(app.__version__)
