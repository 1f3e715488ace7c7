"""Names in the environment that look like settings and are none: the typo that nothing else shows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Final

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from postroom.base.setting_files import setting_of
from postroom.base.settings import Settings

_NO_SETTING: Final = re.compile(r"POSTROOM_(TEST|DRILL)_|POSTROOM_(\w+_)?(SERVICE_(HOST|PORT)|PORT_\d)")


def unknown_names(environment: Mapping[str, str]) -> dict[str, str | None]:
    """Variables that look like settings and are none, each with the name that was likely meant.

    What Kubernetes sets for a service called postroom, and what tests are told, does not count.
    """
    known = {
        f"POSTROOM_{name.upper()}{inner}"
        for name, field in Settings.model_fields.items()
        for inner in _inner(field)
    }
    tables = tuple(
        name
        for name in known
        if name.endswith(
            ("__OPTIONS", "__SCOPES", "__ACCOUNTS", "_EMAIL__ROUTES", "__DESTINATIONS", "_LEDGERS")
        )
    )
    return {
        name: next(iter(get_close_matches(name, known, 1, 0.8)), None)
        for name in sorted(environment)
        if name.startswith("POSTROOM_")
        and setting_of(name.upper()) not in known
        and not name.startswith(tables)
        and not _NO_SETTING.match(name)
    }


def _inner(field: FieldInfo) -> list[str]:
    """The ends of the names that a field may have: none, or those of its own fields."""
    if not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
        return [""]
    inner = field.annotation.model_fields.items()
    return [f"__{(each.alias or name).upper()}" for name, each in inner]
