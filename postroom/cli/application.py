"""All commands, and what a failure of one looks like."""

from __future__ import annotations

import sys
from typing import Final

import asyncpg
import typer

from postroom.base.db import DATABASE_AWAY
from postroom.base.errors import InvalidInput, PostroomError, SettingsInvalid, TooLarge
from postroom.base.foreign_text import visible
from postroom.base.log import configure_logging, remove_secrets
from postroom.cli import (
    dead_letter,
    doctor,
    encryption,
    endpoint,
    erase,
    jobs,
    migrate,
    publish,
    replay,
    serve,
    stripe,
    suppression,
    token,
    up,
    version,
    work,
)
from postroom.postgres.errors import PostgresError

FAILED: Final = 1
WRONG_USE: Final = 2

NOT_MIGRATED: Final = (
    asyncpg.InvalidSchemaNameError,
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedFunctionError,
    asyncpg.UndefinedColumnError,
)


def build() -> typer.Typer:
    """The command with all its groups."""
    application = typer.Typer(
        name="postroom",
        help="Reliable side effects for PostgreSQL and Stripe: what must happen because something happened.",
        epilog="Settings come from the environment (POSTROOM_*). Start with: postroom up --demo",
        no_args_is_help=True,
        rich_markup_mode="rich",
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for part in (up, serve, work, migrate, publish):
        part.register(application)
    application.add_typer(dead_letter.group, name="dead-letter")
    replay.register(application)
    application.add_typer(jobs.group, name="jobs")
    application.add_typer(endpoint.group, name="endpoint")
    application.add_typer(stripe.group, name="stripe")
    application.add_typer(token.group, name="token")
    application.add_typer(suppression.group, name="suppression")
    application.add_typer(encryption.group, name="encryption")
    erase.register(application)
    doctor.register(application)
    version.register(application)
    return application


def main() -> int:
    """Run the command. Exit codes: 0 done, 1 failed, 2 wrong use."""
    configure_logging(json_lines=False, level="ERROR")  # what `serve` logs, it decides itself
    try:
        build()(prog_name="postroom")
    except SettingsInvalid as error:
        return _fail(
            "The settings are not usable:", *(f"  {fault}" for fault in error.faults), code=WRONG_USE
        )
    except (InvalidInput, TooLarge) as error:
        return _fail(error.told if isinstance(error, InvalidInput) else error.detail, code=WRONG_USE)
    except PostroomError as error:
        return _fail(error.detail)
    except PostgresError as error:
        return _fail(str(error))
    except NOT_MIGRATED as error:
        return _fail(f"The database lacks the schema of this version ({error}).", "Run: postroom migrate")
    except (PermissionError, FileExistsError, NotADirectoryError) as error:
        return _fail(
            f"{error.filename}: {error.strerror}", "Is it yours? POSTROOM_STATE_DIR names another folder."
        )
    except DATABASE_AWAY as error:
        reason = remove_secrets(str(error)) or type(error).__name__
        return _fail(f"The database does not answer: {reason}", "Run: postroom doctor")
    except asyncpg.PostgresError as error:
        return _fail(f"PostgreSQL refused: {remove_secrets(str(error))}")
    return 0


def _fail(*lines: str, code: int = FAILED) -> int:
    print(*map(visible, lines), sep="\n", file=sys.stderr)
    return code
