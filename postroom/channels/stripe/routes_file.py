"""Reads the routes file. Whatever is wrong in it is refused at start, all at once, with its line."""

from __future__ import annotations

import re
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from jinja2 import TemplateSyntaxError

from postroom.base.errors import InvalidPayload, SettingsInvalid
from postroom.base.stripe_account import OWN_ACCOUNT
from postroom.channels.stripe.expressions import compile_value, is_expression, mentions
from postroom.channels.stripe.routes import DEFAULTS, EMAIL_DATA, RECIPIENTS, Effect, Route, Routes
from postroom.channels.stripe.types import fault_in, fetch_fault_in
from postroom.outbox.lanes import Urgency
from postroom.outbox.model import OUTBOUND, Channel

EXPIRES_IN_MAX_S: Final = 31_536_000
ROUTE_KEYS: Final[dict[str, type]] = {
    "on": str,
    "name": str,
    "when": str,
    "fetch": bool,
    "optional": bool,
    "unlisted": bool,
    "formerly": list,
    "key": str,
    "expires_in_s": float,
    "urgency": str,
    **dict.fromkeys(OUTBOUND, dict),
}
FIELDS: Final = {
    Channel.EMAIL: (
        *("to", "cc", "bcc", "reply_to", "template", "data", "locale", "subject", "text", "html"),
        "attachments",
    ),
    Channel.WEBHOOK: ("tenant", "url", "type", "data"),
    Channel.EXPORT: ("dataset", "record"),
    Channel.STRIPE_API: ("method", "path", "params", "account"),
    Channel.TASK: ("task", "args"),
}
CUSTOMER: Final = "customer"
CONTENT: Final = ("template", "text", "html")
STAND_INS: Final[dict[str, Any]] = {
    **dict.fromkeys(("to", "cc", "bcc", "reply_to"), "ann@example.com"),
    **dict.fromkeys(("subject", "text", "html", "tenant", "type", "dataset", "task"), "x"),
    "url": "https://example.com/",
    **{"method": "POST", "path": "/v1/x", "params": {}, "account": OWN_ACCOUNT},
    "data": {},
    "args": {},
    "locale": "de",
    "record": {},
    "attachments": [],
}
"""What expressions could become: with them a channel can judge what is written out beside them."""

Checks = Mapping[Channel, Callable[[dict[str, Any]], None]]
"""What each channel refuses; see `Adapter.check`."""

_HEADER = re.compile(r"^\s*\[\[\s*route\s*\]\]")
_NAME = re.compile(r"(?!handler/)[A-Za-z0-9_.*/-]{1,100}")


def load_routes(path: Path, checks: Checks) -> Routes:
    """`checks`: a template, dataset or url that a channel would refuse is refused here already.

    Errors: `SettingsInvalid`, one fault a line: file, line, what is wrong, and the known names."""
    try:
        source = path.read_text(encoding="utf-8")
        document = tomllib.loads(source)
    except OSError as error:
        raise SettingsInvalid([f"POSTROOM_ROUTES: {path} cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise SettingsInvalid([f"POSTROOM_ROUTES: {path} is no UTF-8 text"]) from None
    except tomllib.TOMLDecodeError as error:
        line = found[1] if (found := re.search(r"line (\d+)", str(error))) else "1"
        raise SettingsInvalid([f"{path}:{line}: not TOML: {error}"]) from None
    return _Reader(path, source.splitlines(), checks).read(document)


class _Reader:
    """Gathers the faults of one file while it reads."""

    def __init__(self, path: Path, lines: Sequence[str], checks: Checks) -> None:
        self._path = path
        self._checks = checks
        self._lines = lines
        self._headers = [number for number, line in enumerate(lines, 1) if _HEADER.match(line)]
        self._faults: list[str] = []

    def read(self, document: dict[str, Any]) -> Routes:
        for name in document.keys() - {"route"}:
            self._fault(self._line(0, name), f"unknown table '{name}'; known: [[route]]")
        tables = document.get("route", [])
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            self._fault(1, "write [[route]] with two brackets: there can be many")
            tables = []
        routes = [route for nth, table in enumerate(tables, 1) if (route := self._route(nth, table))]
        self._check_names(tables)
        if self._faults:
            raise SettingsInvalid(self._faults)
        return Routes(tuple(routes))

    def _check_names(self, tables: Sequence[dict[str, Any]]) -> None:
        """Where a route stands never decides its keys: of several for one `on`, each has its own name."""
        same_on: defaultdict[str, list[int]] = defaultdict(list)
        owners: defaultdict[str, list[int]] = defaultdict(list)
        for nth, table in enumerate(tables, 1):
            same_on[str(table.get("on"))].append(nth)
        for on, several in same_on.items():
            for place, nth in enumerate(several, 1):
                table = tables[nth - 1]
                names = [*_texts([table.get("name")]), *_texts(table.get("formerly"))]
                if "name" not in table and len(several) == 1:
                    names.append(_only_name(on))
                elif "name" not in table:
                    lines = self._header_lines(several)
                    self._fault(
                        self._line(nth, "on"), _name_needed(on, place, f"{len(several)} routes ({lines})")
                    )
                for name in names:
                    owners[name].append(nth)
        for name, users in owners.items():
            if len(users) > 1:
                told = f"the name '{name}' is used by {len(users)} routes ({self._header_lines(users)})"
                self._fault(self._line(users[-1], "name"), told)

    def _header_lines(self, routes: Sequence[int]) -> str:
        return "lines " + ", ".join(str(self._line(nth, "")) for nth in routes)

    def _route(self, nth: int, table: dict[str, Any]) -> Route | None:
        before = len(self._faults)
        self._check_route(nth, table)
        if len(self._faults) > before:
            return None
        on = table["on"]
        effects = [self._effect(nth, channel, table[channel]) for channel in OUTBOUND if channel in table]
        when, key = (
            self._compile(nth, name, table[name]) if name in table else None for name in ("when", "key")
        )
        if len(self._faults) > before:
            return None
        return Route(
            name=table.get("name", _only_name(on)),
            on=on,
            effects=tuple(effects),
            when=when,
            key=key,
            fetch=table.get("fetch", False),
            customer=mentions(
                [table.get("when"), table.get("key"), [each.written for each in effects]], CUSTOMER
            ),
            optional=table.get("optional", False),
            formerly=tuple(table.get("formerly", ())),
            expires_in_s=table.get("expires_in_s"),
            urgency=Urgency(table["urgency"]) if "urgency" in table else None,
            place=f"{self._path}:{self._line(nth, 'on')}",
        )

    def _check_route(self, nth: int, table: dict[str, Any]) -> None:
        for key, value in table.items():
            known = ROUTE_KEYS.get(key)
            if known is None:
                self._fault(self._line(nth, key), f"unknown key '{key}'; known: {', '.join(ROUTE_KEYS)}")
            elif not _fits(value, known):
                self._fault(self._line(nth, key), f"'{key}' must be a {_toml_name(known)}")
        on = table.get("on")
        if on is None:
            self._fault(self._line(nth, ""), "the route lacks 'on', the event type it is for")
        elif isinstance(on, str) and (fault := fault_in(on, unlisted=table.get("unlisted") is True)):
            self._fault(self._line(nth, "on"), fault)
        for key, names in (("name", [table.get("name")]), ("formerly", _texts(table.get("formerly")))):
            for name in names:
                if isinstance(name, str) and not _NAME.fullmatch(name):
                    self._fault(
                        self._line(nth, key),
                        f"'{name}' is no name; use letters, digits, '_', '.', '-', '/', '*'",
                    )
        when = table.get("when")
        if isinstance(when, str) and not self._is_expression(when):
            self._fault(self._line(nth, "when"), "'when' must be one expression: \"{{ … }}\"")
        if not any(channel in table for channel in OUTBOUND):
            channels = ", ".join(OUTBOUND)
            self._fault(self._line(nth, ""), f"the route causes nothing; give it one of: {channels}")
        for fault_key, fault in self._effect_faults(table):
            self._fault(self._line(nth, fault_key), fault)

    def _effect_faults(self, table: dict[str, Any]) -> Iterator[tuple[str, str]]:
        on, urgency = table.get("on"), table.get("urgency")
        if isinstance(on, str) and table.get("fetch") is True:
            fault = fetch_fault_in(on, unlisted=table.get("unlisted") is True)
            if fault is not None:
                yield "fetch", fault
        if isinstance(table.get("key"), str) and not _varies(table["key"]):
            yield "key", "'key' is the same for all events; name what it is about: \"{{ object.id }}\""
        if isinstance(urgency, str) and urgency not in list(Urgency):
            yield "urgency", f"'urgency' is one of {', '.join(Urgency)}"
        for channel in OUTBOUND:
            fields = table.get(channel)
            if not isinstance(fields, dict):
                continue
            known = FIELDS[channel]
            for key in fields.keys() - set(known):
                yield key, f"unknown field '{key}' of {channel}; known: {', '.join(known)}"
            if not any(name in fields for name in RECIPIENTS[channel]):
                yield channel, f"{channel} lacks '{' or '.join(RECIPIENTS[channel])}'"
            if channel is Channel.EMAIL and not any(name in fields for name in CONTENT):
                yield channel, f"email lacks its content: one of {', '.join(CONTENT)}"

    def _effect(self, nth: int, channel: Channel, fields: dict[str, Any]) -> Effect:
        filled: dict[str, Any] = {**DEFAULTS.get(channel, {}), **fields}
        if channel is Channel.EMAIL and "template" in fields:
            filled.setdefault("data", EMAIL_DATA)
        self._check_sample(nth, channel, filled)
        fields = {name: self._compile(nth, name, value) for name, value in filled.items()}
        return Effect(channel, fields, filled)

    def _check_sample(self, nth: int, channel: Channel, fields: dict[str, Any]) -> None:
        """Whether the channel could send it, whatever the expressions become."""
        if _varies(fields.get("template")):  # which one it will be is known later: words take its place
            fields = {name: fields[name] for name in fields.keys() - {"template", "data"}}
            fields |= {"subject": "x", "text": "x"}
        sample = {name: STAND_INS[name] if _varies(value) else value for name, value in fields.items()}
        try:
            if channel in self._checks:
                self._checks[channel](sample)
        except InvalidPayload as error:
            key = re.split(r"[.\[]", error.field or "")[0]
            self._fault(self._line(nth, key if key in fields else channel), f"{channel}: {error.message}")

    def _compile(self, nth: int, key: str, value: Any) -> Any:
        try:
            return compile_value(value)
        except TemplateSyntaxError as error:
            self._fault(self._line(nth, key), f"'{key}': {error.message}")
            return None

    def _is_expression(self, source: str) -> bool:
        try:
            return is_expression(source)
        except TemplateSyntaxError:
            return True  # the fault is told when it is compiled

    def _line(self, nth: int, key: str) -> int:
        """The line of a key in the n-th route, or of its header. TOML's reader keeps no lines."""
        start = self._headers[nth - 1] if 0 < nth <= len(self._headers) else 1
        end = self._headers[nth] if nth < len(self._headers) else len(self._lines) + 1
        named = re.compile(rf"(?<![\w-])\"?{re.escape(key)}\"?(\s*=|[\].])") if key else None
        for number in range(start, end):
            if named is not None and named.search(self._lines[number - 1]):
                return number
        return start

    def _fault(self, line: int, text: str) -> None:
        self._faults.append(f"{self._path}:{line}: {text}")


def _varies(value: Any) -> bool:
    """Whether an event decides what it becomes."""
    match value:
        case str():
            return "{{" in value or "{%" in value
        case dict():
            return any(map(_varies, value.values()))
        case list():
            return any(map(_varies, value))
        case _:
            return False


def _only_name(on: str) -> str:
    """The name of a route that has none and is alone with its `on`. Never to be changed: it makes keys."""
    return f"{on}/1"


def _name_needed(on: str, place: int, several: str) -> str:
    """`place` made the key while routes without a name were counted."""
    return (
        f"{several} are for '{on}', so each needs a name: it is in the keys of its messages. "
        f'If this route has run at this place, name = "{on}/{place}" keeps its keys; '
        f'one that has run alone keeps them as "{on}/1"; for a new one, any other name will do'
    )


def _texts(value: Any) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _fits(value: object, kind: type) -> bool:
    if kind is float:
        return type(value) in (int, float) and 0 < value <= EXPIRES_IN_MAX_S  # type: ignore[operator]
    return isinstance(value, kind) and (kind is not list or _texts(value) == value)


def _toml_name(kind: type) -> str:
    seconds = f"number of seconds, above 0 and up to {EXPIRES_IN_MAX_S}"
    return {str: "text", bool: "true or false", dict: "table", list: "list of texts", float: seconds}[kind]
