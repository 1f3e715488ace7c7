"""`make views`: which columns Stripe's objects have, written into `migrations/sql/stripe_views.sql`.

Stripe publishes its OpenAPI description in a file and, made from it, in each release of its library. The
library is what is read: it is pinned by hash, is of the version that objects are fetched in, and is there
wherever this is checked. It lacks one thing of the description, which integers are moments: their names tell.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from importlib import import_module
from typing import Any, ClassVar, Final, ForwardRef, Literal, NamedTuple, Union, get_args, get_origin

from stripe import ListObject
from stripe._object_classes import OBJECT_CLASSES, V2_OBJECT_CLASSES

from docs.generator.pages import ROOT
from postroom.channels.stripe.address import retrievable
from postroom.channels.stripe.types import known_types, subject

FILE: Final = ROOT / "migrations/sql/stripe_views.sql"
NOT_MIRRORED: Final = {"event", "webhook_endpoint", "v2.core.event", "v2.core.event_destination"}
IN_EACH_VIEW: Final = {"id", "object", "livemode", "deleted"}
SECRET: Final = {"auth_code", "client_secret", "confirmation_secret", "secret"}
"""Left out of `raw`, too."""
MOMENT: Final = re.compile(
    r"created|updated|date|start|end|billing_cycle_anchor|next_payment_attempt|next_pending_invoice_item_invoice"
    r"|\w+_(at|on|by|date|time|start|end|from|until|after)"
)
KINDS: Final[Sequence[tuple[set[object], str]]] = (
    ({str, Literal}, "text"),
    ({int}, "int"),
    ({bool}, "bool"),
    ({int, float, Decimal}, "num"),
)
WIDTH: Final = 120
_BLOCK: Final = re.compile(r"(-- generated: views\n).*(-- end of views)", re.DOTALL)
_ROW: Final = re.compile(r"\('(\w+)', '([\w.]+)', (?:null|'(\w+)'), '([^']*)'\)")


class View(NamedTuple):
    """`list`: the property whose items are the rows; None where the objects themselves are."""

    name: str
    type: str
    list: str | None


Columns = dict[str, str]
"""Kinds by name, in their order."""


def main() -> None:
    text, now = FILE.read_text(encoding="utf-8"), described()
    made = merge(read(text), now)
    FILE.write_text(write(text, made), encoding="utf-8")
    print(f"{len(made)} views, {sum(map(len, made.values()))} columns", *stays(made, now), sep="\n")


def described() -> dict[View, Columns]:
    """What the library says of every type that the mirror can hold, and of the lists inside."""
    found: dict[View, Columns] = {}
    for object_type, place in sorted({**V2_OBJECT_CLASSES, **OBJECT_CLASSES}.items()):
        fields = dict(_fields(place))
        if not _mirrored(object_type, fields):
            continue
        name = object_type.replace(".", "_")
        found[View(name, object_type, None)] = _columns(fields, iso=object_type.startswith("v2."))
        for field, options in fields.items():
            if _shape(options[0]) is ListObject:
                items = dict(_item_fields(options[0], place[0]))
                found[View(f"{name}_{field}", object_type, field)] = _columns(items)
    return found


def merge(known: Mapping[View, Columns], now: Mapping[View, Columns]) -> dict[View, Columns]:
    """What is known stays, as it is and where it is; what is new comes last."""
    merged = {view: dict(columns) for view, columns in known.items()}
    for view, columns in now.items():
        for name, kind in columns.items():
            merged.setdefault(view, {}).setdefault(name, kind)
    return merged


def stays(made: Mapping[View, Columns], now: Mapping[View, Columns]) -> list[str]:
    """Columns whose kind Stripe has changed: in a view it cannot be, so somebody should know."""
    return [
        f"{view.name}.{name} stays {made[view][name]}; Stripe has it as {kind} now"
        for view, columns in now.items()
        for name, kind in columns.items()
        if made[view][name] != kind
    ]


def read(text: str) -> dict[View, Columns]:
    """What the file has."""
    return {
        View(name, object_type, inside or None): dict(
            (*token.split(":"), "text")[:2] for token in columns.split()
        )
        for name, object_type, inside, columns in _ROW.findall(text)
    }


def write(text: str, views: Mapping[View, Columns]) -> str:
    """The file with these."""
    rows = ",\n".join(_row(view, columns) for view, columns in views.items())
    return _BLOCK.sub(lambda found: f"{found[1]}{rows}\n{found[2]}", text)


def _row(view: View, columns: Columns) -> str:
    inside = f"'{view.list}'" if view.list else "null"
    lines = [f"('{view.name}', '{view.type}', {inside}, '"]
    for name, kind in columns.items():
        token = name if kind == "text" else f"{name}:{kind}"
        if len(lines) == 1 or len(lines[-1]) + len(token) > WIDTH:
            lines.append("   ")
        lines[-1] += f" {token}"
    return "\n".join(lines) + "')"


Options = tuple[Any, ...]
"""What a property may be, other than null."""


def _mirrored(object_type: str, fields: Mapping[str, Options]) -> bool:
    if object_type in NOT_MIRRORED:
        return False
    if object_type.startswith("v2."):
        return "id" in fields
    return retrievable(object_type) is not None or object_type in {subject(each) for each in known_types()}


def _fields(place: tuple[str, str]) -> Iterator[tuple[str, Options]]:
    for name, hint in getattr(import_module(place[0]), place[1]).__annotations__.items():
        if get_origin(hint) is not ClassVar and not name.startswith("_"):
            options = get_args(hint) if get_origin(hint) is Union else (hint,)
            yield name, tuple(each for each in options if each is not type(None))


def _item_fields(inside: Any, module: str) -> Iterator[tuple[str, Options]]:
    """Those of a list's items; none where they are of several types."""
    (item,) = get_args(inside)
    if isinstance(item, ForwardRef):
        yield from _fields(_imported(item.__forward_arg__, module))


def _imported(name: str, module: str) -> tuple[str, str]:
    """Module and class behind a name that a module imports for its hints only."""
    tree = ast.parse(inspect.getsource(import_module(module)))
    for node in (each for each in ast.walk(tree) if isinstance(each, ast.ImportFrom)):
        for alias in node.names:
            if name == (alias.asname or alias.name):
                return str(node.module), alias.name
    raise LookupError(f"{module} imports no {name}")


def _columns(fields: Mapping[str, Options], *, iso: bool = False) -> Columns:
    """`iso`: moments are texts, as in v2, not seconds."""
    moment = (str if iso else int,)
    return {
        name: "time" if options == moment and MOMENT.fullmatch(name) else _kind(options)
        for name, options in fields.items()
        if name not in IN_EACH_VIEW | SECRET
    }


def _kind(options: Options) -> str:
    kinds = {_shape(each) for each in options}
    if str in kinds and any(isinstance(each, ForwardRef) for each in options):
        return "id"
    for known, kind in KINDS:
        if kinds <= known:
            return kind
    return "json"


def _shape(option: Any) -> object:
    """What it is, whatever of: `List` for `List[str]`."""
    origin: object = get_origin(option)
    return option if origin is None else origin


if __name__ == "__main__":
    main()
