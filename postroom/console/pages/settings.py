"""What this process was started with; secrets only as set or not set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, SecretStr
from starlette.responses import Response

from postroom.base.schema import head
from postroom.base.settings import Settings
from postroom.console.page_request import PageRequest
from postroom.health.findings import Level
from postroom.health.host import check_disks, check_settings

HIDDEN: Final = "set, hidden"
# They may hold credentials though they are no SecretStr.
UNSHOWN: Final = frozenset({"options"})


@dataclass(frozen=True, slots=True)
class SettingRow:
    name: str
    value: str
    changed: bool


async def settings(request: PageRequest) -> Response:
    chosen = request.console.settings
    return request.page(
        "settings.html",
        active="settings",
        rows=list(setting_rows(chosen)),
        findings=[*check_settings(chosen), *check_disks(chosen)],
        Level=Level,
        schema=head(),
    )


def setting_rows(settings: Settings) -> Iterator[SettingRow]:
    """Every setting by the name of its environment variable."""
    yield from _rows(settings, "POSTROOM_")


def _rows(model: BaseModel, prefix: str) -> Iterator[SettingRow]:
    for name, about in type(model).model_fields.items():
        value: Any = getattr(model, name)
        variable = prefix + (about.alias or name).upper()
        if isinstance(value, BaseModel):
            yield from _rows(value, variable + "__")
            continue
        if name == "accounts" and value:
            for account, each in value.items():
                yield from _rows(each, f"{variable}__{account.upper()}__")
            continue
        default = about.get_default(call_default_factory=True)
        yield SettingRow(variable, _shown(name, value), value != default)


def _shown(name: str, value: Any) -> str:
    plain = value.get_secret_value() if isinstance(value, SecretStr) else value
    if plain is None or plain in ("", (), {}):
        return "not set"
    if isinstance(value, SecretStr) or name in UNSHOWN:
        return HIDDEN
    if isinstance(value, tuple):
        return (
            f"{len(value)} {HIDDEN}"
            if any(isinstance(v, SecretStr) for v in value)
            else ", ".join(map(str, value))
        )
    if isinstance(value, str) and "@" in value and "://" in value:
        return HIDDEN
    return str(value)
