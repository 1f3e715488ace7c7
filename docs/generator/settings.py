"""Settings: from the models in `postroom/base` and the docstrings below their fields."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from typing import Any, Final

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from docs.generator.pages import sentence, table
from postroom.base.email_settings import EmailRoute
from postroom.base.export_settings import ExportDestination
from postroom.base.ledger_settings import LedgerSettings
from postroom.base.settings import Settings
from postroom.base.stripe_settings import StripeAccount

HEAD: Final = ("setting", "default", "meaning")
NAMED: Final[dict[str, type[BaseModel]]] = {
    "POSTROOM_LEDGERS__<NAME>__…": LedgerSettings,
    "POSTROOM_STRIPE__ACCOUNTS__<NAME>__…": StripeAccount,
    "POSTROOM_EMAIL__ROUTES__<NAME>__…": EmailRoute,
    "POSTROOM_EXPORTS__DESTINATIONS__<NAME>__…": ExportDestination,
}
HOME: Final = "~/.local/state/postroom"


def settings_block() -> str:
    """A table of what stands alone, then one for each group."""
    alone = {name: field for name, field in Settings.model_fields.items() if _group(field) is None}
    parts = [table(HEAD, _rows(Settings, alone, "POSTROOM_"))]
    for name, field in Settings.model_fields.items():
        group = _group(field)
        if group is not None:
            prefix = f"POSTROOM_{name.upper()}__"
            rows = _rows(group, group.model_fields, prefix)
            parts.append(f"## `{prefix}…`\n{inspect.getdoc(group)}\n\n{table(HEAD, rows)}")
    for heading, model in NAMED.items():
        rows = _rows(model, model.model_fields, "")
        parts.append(f"## `{heading}`\n{inspect.getdoc(model)}\n\n{table(HEAD, rows)}")
    return "\n\n".join(parts)


def _rows(model: type[BaseModel], fields: dict[str, FieldInfo], prefix: str) -> Iterator[tuple[str, ...]]:
    meanings = _docstrings(model)
    for name, field in fields.items():
        meaning = meanings.get(name)
        if meaning is None:
            raise ValueError(f"{model.__name__}.{name} has no docstring below it")
        yield f"`{prefix}{(field.alias or name).upper()}`", _default(field), meaning + _range(field)


def _docstrings(model: type[BaseModel]) -> dict[str, str]:
    """What stands below each field in the source."""
    classes = [
        ast.parse(inspect.getsource(kind)).body[0]
        for kind in model.__mro__
        if kind.__module__.startswith("postroom.")
    ]
    return {
        field.target.id: sentence(text.value.value)
        for found in classes
        if isinstance(found, ast.ClassDef)
        for field, text in zip(found.body, found.body[1:], strict=False)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "none: needed"
    value = field.default if field.default_factory is None else None
    match value:
        case None if field.default_factory is not None and field.annotation is not dict:
            return f"`{HOME}`" if "state" in getattr(field.default_factory, "__name__", "") else ""
        case bool():
            return f"`{str(value).lower()}`"
        case SecretStr() | None | () | "":
            return ""
        case tuple():
            return f"`{','.join(f'{each:g}' for each in value)}`"
        case float():
            return f"`{value:g}`"
        case _:
            return f"`{value}`"


def _range(field: FieldInfo) -> str:
    """What is accepted, where the model says so."""
    limits: list[Any] = field.metadata
    least = next((f"{each.ge}" for each in limits if isinstance(each, Ge)), None)
    least = least or next((f"more than {each.gt}" for each in limits if isinstance(each, Gt)), None)
    most = next((f"{each.le}" for each in limits if isinstance(each, Le)), None)
    most = most or next((f"less than {each.lt}" for each in limits if isinstance(each, Lt)), None)
    if least is None:
        return ""
    return f" ({least} to {most})" if most else f" ({least} or more)"


def _group(field: FieldInfo) -> type[BaseModel] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None
