"""`postroom migrate`: bring the schema to what this version needs."""

from __future__ import annotations

import asyncio

import typer

from postroom.base.settings import load_settings
from postroom.cli.output import console, examples
from postroom.cli.session import open_database


def register(application: typer.Typer) -> None:
    @application.command(
        epilog=examples("POSTROOM_DATABASE_URL=postgresql://…?sslmode=verify-full postroom migrate")
    )
    def migrate() -> None:
        """Bring the database's schema up to date with this version.

        Safe to run again, and by several at once.
        """
        # Imported late: Alembic costs a second that no other command should pay for.
        from postroom.base.migrate import head
        from postroom.base.migrate import migrate as run_migrations

        settings = load_settings()
        with open_database(settings) as database, console(stderr=True).status("migrating"):
            revision = asyncio.run(run_migrations(database.dsn))
        print(f"The schema is at {revision}.")
        if revision != head():
            print(
                f"This version knows revisions up to {head()}: a newer one made it, and nothing was changed."
            )
