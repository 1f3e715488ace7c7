"""What events cause here, told without a database: each route with its keys, the messages of one event."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn
from uuid import UUID, uuid4

import msgspec

from postroom.base import json
from postroom.base.clock import SystemClock
from postroom.base.errors import InvalidInput
from postroom.channels.stripe.earlier import HANDLER
from postroom.channels.stripe.effects import (
    EffectFailed,
    Effects,
    messages_of,
    run_handler,
)
from postroom.channels.stripe.event import Event
from postroom.channels.stripe.handlers import Handler
from postroom.channels.stripe.routes import RECIPIENTS, Effect
from postroom.channels.stripe.routes_file import Checks
from postroom.channels.stripe.transaction import Origin, Transaction
from postroom.outbox.model import Channel, Message


def _origin() -> Origin:
    return Origin(correlation_id="", traceparent=None, now=SystemClock().now())


@dataclass(frozen=True, slots=True)
class Listed:
    """One message that a route or handler can send. `key`: what its messages' keys have after the event."""

    on: str
    key: str
    channel: str
    sends: str
    flags: str = ""


@dataclass(frozen=True, slots=True)
class Caused:
    """A message that an event would cause."""

    source: str
    channel: str
    key: str
    payload: dict[str, Any]
    tenant: str | None
    type: str | None
    ordering_key: str | None
    deliver_at: datetime | None


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """`faults`: why the event would fail, or a message die. `notes`: where the real thing may differ."""

    messages: list[Caused]
    faults: list[str]
    notes: list[str]


def list_effects(effects: Effects) -> Iterator[Listed]:
    """Every route and handler, in the order of their files."""
    for route in effects.routes.routes:
        flags = ", ".join(name for name in ("fetch", "key", "optional") if getattr(route, name))
        for effect in route.effects:
            yield Listed(route.on, f"{route.name}:{effect.channel}", effect.channel, _sends(effect), flags)
    for handler in effects.registry.handlers:
        flags = "fetch" if handler.fetch else ""
        place = f"{handler.function.__name__}(), see its code"
        yield Listed(", ".join(handler.patterns), f"{HANDLER}{handler.name}:", "-", place, flags)


async def rehearse(effects: Effects, event: Event, checks: Checks) -> Rehearsal:
    """Run the routes and handlers of an event and gather what they publish; nothing is stored or sent.

    Does not promise: what a handler does besides publishing is left undone; with `tx.conn` it stops there.
    """
    told = Rehearsal([], [], [])
    plan = effects.plan(event.type)
    if plan.fetch or event.thin:
        told.notes.append("the current object is not fetched: `object` is what the file has")
    if event.object_type == "customer":
        event = msgspec.structs.replace(event, buyer=event.object)
    elif plan.customer and event.buyer is None:
        told.notes.append("the customer is not looked up: give one with --customer")
    for route in plan.routes:
        try:
            _gather(told, f"route {route.name}", messages_of(route, event, _origin()), checks)
        except EffectFailed as failure:
            told.faults.append(str(failure))
    for handler in plan.handlers:
        await _rehearse_handler(told, handler, event, checks)
    return told


async def _rehearse_handler(told: Rehearsal, handler: Handler, event: Event, checks: Checks) -> None:
    tx = _Rehearsed(event, handler.name)
    try:
        await run_handler(handler, tx)
    except EffectFailed as failure:
        if not tx.touched:
            told.faults.append(str(failure))
    if tx.touched:
        told.notes.append(
            f"handler {handler.name} uses tx.conn, which needs a database: what it would publish after that "
            "is missing here"
        )
    _gather(told, f"handler {handler.name}", tx.published, checks)


class _Rehearsed(Transaction):
    """Collects what a handler publishes."""

    def __init__(self, event: Event, handler: str) -> None:
        self.event = event
        self.published: list[Message] = []
        self.touched = False
        self._origin = _origin()
        self._handler = handler
        self._count = 0

    @property
    def conn(self) -> NoReturn:
        self.touched = True
        raise RuntimeError("tx.conn is not there: routes are tested without a database")

    @property
    def lost(self) -> bool:
        return False

    async def _publish(self, message: Message) -> UUID:
        json.encode(message.payload)
        self.published.append(message)
        return uuid4()


def _gather(told: Rehearsal, source: str, messages: list[Message], checks: Checks) -> None:
    for message in messages:
        told.messages.append(
            Caused(
                source,
                message.channel,
                message.key or "",
                message.payload,
                message.tenant,
                message.type,
                message.ordering_key,
                message.deliver_at,
            )
        )
        try:
            beside = (
                {"tenant": message.tenant, "type": message.type} if message.channel == Channel.WEBHOOK else {}
            )
            payload = {name: value for name, value in beside.items() if value} | message.payload
            checks[Channel(message.channel)](payload)
        except InvalidInput as error:
            told.faults.append(f"{source}: {message.channel} would end as a dead letter: {error.message}")


def _sends(effect: Effect) -> str:
    written = effect.written
    to = next(f"{name} {written[name]}" for name in RECIPIENTS[effect.channel] if name in written)
    match effect.channel:
        case Channel.EMAIL:
            return f"{_content(written)} {to}"
        case Channel.WEBHOOK:
            return f"{written['type']} to {to}"
        case _:
            return to


def _content(written: dict[str, Any]) -> str:
    return f"template {written['template']}" if "template" in written else f'"{written.get("subject", "")}"'
