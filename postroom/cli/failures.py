"""What the failure of a command looks like: lines for the person at the keyboard, and an exit code."""

from __future__ import annotations

from typing import Final, NamedTuple

import asyncpg

from postroom.base.db import DATABASE_AWAY
from postroom.base.errors import InvalidInput, PostroomError, SettingsInvalid, TooLarge
from postroom.base.log import remove_secrets
from postroom.postgres.errors import PostgresError

FAILED: Final = 1
WRONG_USE: Final = 2

NOT_MIGRATED: Final = (
    asyncpg.InvalidSchemaNameError,
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedFunctionError,
    asyncpg.UndefinedColumnError,
)


class Failure(NamedTuple):
    """`lines` may hold what strangers wrote."""

    lines: tuple[str, ...]
    code: int = FAILED


def explain(error: Exception) -> Failure | None:
    """What is said of an error that is expected; None for a fault of our own."""
    match error:
        case SettingsInvalid(faults=faults):
            return Failure(("The settings are not usable:", *(f"  {fault}" for fault in faults)), WRONG_USE)
        case InvalidInput(message=message):
            return Failure((message,), WRONG_USE)
        case TooLarge(detail=detail):
            return Failure((detail,), WRONG_USE)
        case PostroomError(detail=detail):
            return Failure((detail,))
        case PostgresError():
            return Failure((str(error),))
    if isinstance(error, NOT_MIGRATED):
        return Failure((f"The database lacks the schema of this version ({error}).", "Run: postroom migrate"))
    if isinstance(error, PermissionError | FileExistsError | NotADirectoryError):
        reason = f"{error.filename}: {error.strerror}"
        return Failure((reason, "Is it yours? POSTROOM_STATE_DIR names another folder."))
    if isinstance(error, DATABASE_AWAY):
        reason = remove_secrets(str(error)) or type(error).__name__
        return Failure((f"The database does not answer: {reason}", "Run: postroom doctor"))
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        reason = f"This login of the database may not do that: {remove_secrets(str(error))}."
        logins = "postroom work needs the runner's, postroom migrate the owner's, everything else the API's."
        return Failure((reason, logins))
    if isinstance(error, asyncpg.PostgresError):
        return Failure((f"PostgreSQL refused: {remove_secrets(str(error))}",))
    return None
