"""`manage.py check --database default`: whether that database can publish."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from django.core.checks import Warning as CheckWarning
from django.db import connections

from postroom.base.db import query

_FETCH_RIGHTS: Final = query(__package__, "fetch_rights")


def check_databases(*, databases: Sequence[str] | None = None, **_options: Any) -> list[CheckWarning]:
    """A warning for each of these databases that cannot publish.

    No error: `manage.py migrate` runs this too, and may well come before `postroom migrate`.
    """
    found = ((alias, _fault(connections[alias])) for alias in databases or ())
    return [
        CheckWarning(f"database {alias!r}: {fault[0]}", hint=fault[1], id=fault[2])
        for alias, fault in found
        if fault is not None
    ]


def _fault(connection: Any) -> tuple[str, str, str] | None:
    if connection.vendor != "postgresql":
        return None
    with connection.cursor() as cursor:
        cursor.execute(_FETCH_RIGHTS)
        installed, granted = cursor.fetchone()
    if not installed:
        return "Postroom is not in it", "postroom migrate, on this database", "postroom.W001"
    if not granted:
        user = connection.settings_dict["USER"] or "its user"
        return f"{user} may not publish", f"in SQL: grant postroom_publisher to {user}", "postroom.W002"
    return None
