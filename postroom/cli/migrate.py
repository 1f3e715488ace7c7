"""`postroom migrate`: bring the schema to what this version needs."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from postroom.base.settings import load_settings
from postroom.cli.output import console, examples
from postroom.cli.session import open_database


def register(application: typer.Typer) -> None:
    @application.command(
        epilog=examples(
            "POSTROOM_DATABASE_URL=postgresql://…?sslmode=verify-full postroom migrate",
            "postroom migrate --roles        as an administrator, once",
            'postroom migrate --print-roles | psql -1 -v ON_ERROR_STOP=1 "$ADMINISTRATORS_URL"',
        )
    )
    def migrate(
        roles: Annotated[
            bool,
            typer.Option(
                "--roles", help="Make the roles of this database first, and give its schema to their owner."
            ),
        ] = False,
        print_roles: Annotated[
            bool, typer.Option("--print-roles", help="Only print the SQL that does so, for an administrator.")
        ] = False,
    ) -> None:
        """Bring the database's schema up to date with this version.

        Safe to run again, and by several at once. The roles of the database may afterwards do what their
        processes need, and no more.
        """
        # Imported late: Alembic costs a second that no other command should pay for.
        from postroom.base.migrate import head, roles_script
        from postroom.base.migrate import migrate as run_migrations

        if print_roles:
            print(roles_script(), end="")
            return
        settings = load_settings(serves=False)
        with open_database(settings) as database, console(stderr=True).status("migrating"):
            revision = asyncio.run(run_migrations(database.dsn, roles=roles))
        print(f"The schema is at {revision}.")
        if revision != head():
            print(
                f"This version knows revisions up to {head()}: a newer one made it, and nothing was changed."
            )
