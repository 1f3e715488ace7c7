"""What the stand-in for Stripe's API does when it is told to change something: once for each key."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from aiohttp import web

KEPT_MAX: Final = 10_000
METER_EVENTS: Final = "billing.meter_event"
_PREFIXES: Final = {"refunds": "re", "customers": "cus", "subscriptions": "sub", "invoices": "in"}
_PART: Final = re.compile(r"[^\[\]]+")


class Moment(StrEnum):
    """When it holds a request: before it has begun, while it is under way, or done and not answered yet."""

    BEFORE = "before"
    DURING = "during"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that was done at Stripe. `key`: its idempotency key."""

    method: str
    path: str
    params: dict[str, Any]
    key: str | None
    account: str | None


@dataclass(slots=True)
class _Known:
    """A key: what it was used for, and, once that is over, what was answered."""

    used_for: tuple[Any, ...]
    status: int | None = None
    body: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Calls:
    """What was done, in order, and which keys are known.

    `arrived`: requests that came in, repeats included. `hold`: at which moment requests are held, until
    `let_go`; `held`: one is.
    `declines`: by path, the code with which a request is refused once it has begun. `fails`: how many are
    done and then answered with 500, which v1 keeps. `identifiers`: of meter events.
    """

    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    done: list[Change] = field(default_factory=list)
    arrived: list[Change] = field(default_factory=list)
    keys: dict[tuple[str | None, str], _Known] = field(default_factory=dict)
    hold: Moment | None = None
    held: asyncio.Event = field(default_factory=asyncio.Event)
    declines: dict[str, str] = field(default_factory=dict)
    fails: int = 0
    identifiers: set[str] = field(default_factory=set)
    _go_on: asyncio.Event = field(default_factory=asyncio.Event)

    def routes(self) -> list[web.RouteDef]:
        return [
            method(f"/{version}/{{path:.+}}", self._take)
            for version in ("v1", "v2")
            for method in (web.post, web.delete)
        ]

    def let_go(self) -> None:
        """Whoever is held goes on, and nobody is held any more."""
        self.hold = None
        self.held.clear()
        self._go_on.set()
        self._go_on = asyncio.Event()

    def forget_keys(self) -> None:
        """As Stripe does after a day."""
        self.keys.clear()

    async def _take(self, request: web.Request) -> web.Response:
        change = await _read(request)
        self.arrived.append(change)
        del self.arrived[:-KEPT_MAX]
        await self._held_at(Moment.BEFORE)
        keyed = change.key is not None and (change.method == "POST" or change.path.startswith("/v2/"))
        answer = await self._once(change) if keyed else await self._do(change)
        await self._held_at(Moment.AFTER)
        headers = {"Request-Id": f"req_{len(self.arrived)}", "Stripe-Version": "2026-10-28.endive"}
        if isinstance(answer, _Replayed):
            headers["Idempotent-Replayed"] = "true"
            answer = answer.known.status or 500, answer.known.body
        status, body = answer
        return web.json_response(body, status=status, headers=headers)

    async def _held_at(self, moment: Moment) -> None:
        if self.hold is moment:
            self.held.set()
            await self._go_on.wait()

    async def _once(self, change: Change) -> tuple[int, dict[str, Any]] | _Replayed:
        place = change.account, change.key or ""
        used_for = change.method, change.path, json.dumps(change.params, sort_keys=True)
        known = self.keys.get(place)
        if known is None:
            known = self.keys[place] = _Known(used_for)
            known.status, known.body = await self._do(change)
            return known.status, known.body
        if known.used_for != used_for:
            text = "Keys for idempotent requests can only be used with the parameters of the first one."
            return 400, _error("idempotency_error", text)
        if known.status is None:
            text = "There is currently another in-progress request using this Idempotency-Key."
            return 409, _error("idempotency_error", text, "idempotency_key_in_use")
        return _Replayed(known)

    async def _do(self, change: Change) -> tuple[int, dict[str, Any]]:
        await self._held_at(Moment.DURING)
        if (code := self.declines.get(change.path)) is not None:
            return 402, _error("card_error", f"This cannot be done: {change.params}", code)
        parts = change.path.split("/")[2:]
        if change.method == "DELETE":
            answer = self._delete(parts[-1])
        elif parts[-1] == "meter_events":
            answer = self._meter(change)
        else:
            answer = 200, self._write(parts, change)
        if answer[0] == 200:
            self.done.append(change)
        if self.fails > 0:
            self.fails -= 1
            return 500, _error("api_error", "An unknown error occurred.")
        return answer

    def _delete(self, object_id: str) -> tuple[int, dict[str, Any]]:
        found = self.objects.pop(object_id, None)
        if found is None:
            return 404, _error("invalid_request_error", f"No such object: '{object_id}'", "resource_missing")
        return 200, {"id": object_id, "object": found["object"], "deleted": True}

    def _meter(self, change: Change) -> tuple[int, dict[str, Any]]:
        identifier = change.params.get("identifier", "made-here")
        if identifier in self.identifiers:
            return 400, _error("invalid_request_error", "An event already exists with this identifier.")
        self.identifiers.add(identifier)
        return 200, {"object": METER_EVENTS, **change.params}

    def _write(self, parts: list[str], change: Change) -> dict[str, Any]:
        """`/v1/refunds` makes one, `/v1/refunds/re_1` and what follows it changes one."""
        known = next((part for part in parts if part in self.objects), None)
        kind = parts[0].removesuffix("s")
        object_id = known or f"{_PREFIXES.get(parts[0], kind)}_{len(self.done) + 1}"
        now = int(datetime.now(UTC).timestamp())
        made = {"id": object_id, "object": kind, "created": now, **self.objects.get(object_id, {})}
        self.objects[object_id] = {**made, **change.params}
        return self.objects[object_id]


@dataclass(frozen=True, slots=True)
class _Replayed:
    known: _Known


async def _read(request: web.Request) -> Change:
    if request.content_type == "application/json":
        params = await request.json()
    else:
        params = _unflatten(dict(request.query) if request.method == "DELETE" else dict(await request.post()))
    account = request.headers.get("Stripe-Account") or request.headers.get("Stripe-Context")
    return Change(request.method, request.path, params, request.headers.get("Idempotency-Key"), account)


def _unflatten(form: Mapping[str, Any]) -> dict[str, Any]:
    """`metadata[order]=1` is `{"metadata": {"order": "1"}}`; the numbers of a list stay its keys."""
    whole: dict[str, Any] = {}
    for name, value in form.items():
        *way, last = _PART.findall(name)
        place = whole
        for part in way:
            place = place.setdefault(part, {})
        place[last] = value
    return whole


def _error(kind: str, message: str, code: str | None = None) -> dict[str, Any]:
    named = {} if code is None else {"code": code}
    return {"error": {"type": kind, "message": message, **named}}
