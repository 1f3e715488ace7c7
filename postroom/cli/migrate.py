"""`postroom migrate`: bring the schema to what this version needs."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

import typer

from postroom.base.foreign_text import visible
from postroom.base.schema import head
from postroom.base.settings import load_settings
from postroom.cli.failures import explain
from postroom.cli.output import console, examples
from postroom.cli.session import each_ledger, open_database


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

        Safe to run again, and by several at once. Of several ledgers each is migrated, one after the other.
        The roles of the database may afterwards do what their processes need, and no more.
        """
        # Imported late: Alembic costs a second that no other command should pay for.
        from postroom.base.migrate import migrate as run_migrations
        from postroom.base.migrate import roles_script

        if print_roles:
            print(roles_script(), end="")
            return
        failed = 0
        for settings in (several := each_ledger(load_settings(serves=False))):
            whose = f"{settings.ledger}: " if settings.ledger else ""
            try:
                with open_database(settings) as database, console(stderr=True).status(f"{whose}migrating"):
                    revision = asyncio.run(run_migrations(database.dsn, roles=roles))
            except Exception as error:
                if len(several) == 1 or (failure := explain(error)) is None:
                    raise
                failed = max(failed, failure.code)
                print(*(whose + visible(line) for line in failure.lines), sep="\n", file=sys.stderr)
                continue
            print(f"{whose}The schema is at {revision}.")
            if revision != head():
                print(
                    f"{whose}This version knows revisions up to {head()}: a newer one made it, and nothing "
                    "was changed."
                )
        if failed:
            raise typer.Exit(failed)
