"""What PostgreSQL refuses to publish, in one form for every driver."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from postroom.base.errors import PostroomError, PublishRefused, TenantElsewhere
from postroom.client.message import FIELDS

CLOSED: Final = "the connection is closed: open another one, and do the work of the transaction again"
FAILED: Final = "the transaction has failed already, by an earlier error: roll back, and do its work again"
MISSING: Final = (
    "this database has no postroom.publish of this version: connect to the one that Postroom is in, "
    "or have it migrated (postroom migrate)"
)
GRANT: Final = "the role that signs in needs: grant postroom_publisher to <role>"
CONSTRAINT: Final = re.compile(r"(?:message|unique_key)_(\w+)_check")
NAMED: Final = (*FIELDS, "unique_for_s", "throttle_s")


@contextmanager
def refusals() -> Iterator[None]:
    """Makes a refusal of what the driver raises.

    What is about the whole transaction (a lost connection, a deadlock, a time limit, a conflict of
    serializable ones) stays the driver's own error: whoever repeats transactions looks for that.
    """
    try:
        yield
    except PublishRefused:
        raise
    except Exception as error:
        refused = _refusal(_driver_error(error))
        if refused is None:
            raise
        raise refused from None  # the error that stood here may show the payload


def _driver_error(error: BaseException) -> Any:
    """The error beneath those that SQLAlchemy and Django made of it."""
    inner = getattr(error, "orig", None) or error.__cause__
    return error if inner is None else _driver_error(inner)


def _refusal(error: Any) -> PostroomError | None:
    diag = getattr(error, "diag", None)
    reason = str((diag.message_primary if diag else getattr(error, "message", None)) or error)
    hint = diag.message_hint if diag else getattr(error, "hint", None)
    match getattr(error, "sqlstate", None) or getattr(error, "pgcode", None):
        case TenantElsewhere.SQLSTATE:
            return TenantElsewhere.of(str(diag.message_detail if diag else error.detail))
        case "22023" | "54000":  # invalid parameter value, program limit exceeded
            field = next((word for word in re.findall(r"\w+", reason) if word in NAMED), None)
            return PublishRefused(reason, field=field)
        case "23514":  # check violation
            constraint = diag.constraint_name if diag else getattr(error, "constraint_name", None)
            found = CONSTRAINT.fullmatch(constraint or "")
            return PublishRefused("is empty or too long", field=found[1]) if found else None
        case "42501":  # insufficient privilege: by our functions, or by PostgreSQL itself
            ours = hint or "Postroom's own" in reason
            return PublishRefused(f"{reason} ({hint})" if hint else reason if ours else f"{reason}: {GRANT}")
        case "25P02":  # in failed SQL transaction
            return PublishRefused(FAILED)
        case "3F000" | "42883":  # no such schema, no such function
            return PublishRefused(MISSING)
    return None
