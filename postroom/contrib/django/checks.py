"""`manage.py check`: mail templates that hide others; with `--database default`, whether it can publish."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from django.core.checks import Warning as CheckWarning
from django.db import connections

from postroom.base.db import query
from postroom.contrib.django.mail_templates import apps_of_doubles

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


def check_mail_templates(**_options: Any) -> list[CheckWarning]:
    """A warning for each file of mail templates that several apps have."""
    return [
        CheckWarning(
            f"mail template {file} is in {', '.join(having)}: that of {having[0]} is used",
            hint="rename one of them; the order of INSTALLED_APPS says which one is used",
            id="postroom.W003",
        )
        for file, having in apps_of_doubles().items()
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
