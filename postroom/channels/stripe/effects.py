"""What an event causes: its routes and handlers, published in the transaction that processes it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from postroom.base.db import Connection
from postroom.base.log import remove_secrets
from postroom.channels.stripe.earlier import HANDLER, NOTHING_EARLIER, Earlier, Renamed, Sent, source
from postroom.channels.stripe.event import Event
from postroom.channels.stripe.handlers import Handler, Registry
from postroom.channels.stripe.routes import Draft, Route, RouteFailed, Routes
from postroom.channels.stripe.transaction import Origin, Transaction, key_prefix
from postroom.outbox.model import Message

HANDLER_TIMEOUT_S: Final = 10.0


class EffectFailed(Exception):
    """A route or handler failed; the text names it and says why, and is safe to show."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The routes and handlers that an event type is for."""

    routes: Sequence[Route] = ()
    handlers: Sequence[Handler] = ()

    @property
    def empty(self) -> bool:
        return not self.routes and not self.handlers

    @property
    def fetch(self) -> bool:
        """Whether one of them asks for the current object."""
        return any(route.fetch for route in self.routes) or any(h.fetch for h in self.handlers)

    @property
    def customer(self) -> bool:
        """Whether one of the routes looks at the customer."""
        return any(route.customer for route in self.routes)

    def messages(self, event: Event, origin: Origin) -> list[Message]:
        """What the routes publish, each under a stable key. Errors: `EffectFailed`."""
        return [message for route in self.routes for message in messages_of(route, event, origin)]

    async def run_handlers(self, conn: Connection, event: Event, origin: Origin) -> None:
        """Errors: `EffectFailed`; the caller rolls back."""
        for handler in self.handlers:
            await run_handler(handler, Transaction(conn, event, origin, handler.name))


NO_EFFECTS: Final = Plan()


@dataclass(frozen=True, slots=True)
class Effects:
    """Everything that events can cause here."""

    routes: Routes = field(default_factory=Routes)
    registry: Registry = field(default_factory=Registry)

    def plan(self, event_type: str) -> Plan:
        return Plan(self.routes.matching(event_type), self.registry.matching(event_type))

    def earlier(self, sent: Sequence[Sent]) -> Earlier:
        """What an event has sent, sorted by whether its route or handler is still there."""
        if not sent:
            return NOTHING_EARLIER
        names = {name for route in self.routes.routes for name in (route.name, *route.formerly)}
        handlers = tuple(f"{HANDLER}{handler.name}:" for handler in self.registry.handlers)
        gone = [each for each in sent if not each[1].startswith(handlers) and source(each[1]) not in names]
        return Earlier(frozenset(sent), gone)


async def run_handler(handler: Handler, tx: Transaction) -> None:
    """Errors: `EffectFailed`, unless the database went away."""
    limit = asyncio.timeout(HANDLER_TIMEOUT_S)
    try:
        async with limit:
            # In a task of its own: a TaskGroup that fails leaves its task counted as cancelled, and before
            # Python 3.11.3 the next limit of time would then end ours.
            await asyncio.ensure_future(handler(tx.event, tx))
    except Exception as error:
        if tx.lost:
            raise  # no fault of the handler's
        what = f"raised {type(error).__name__}: {error}"
        if limit.expired():
            what = f"took longer than {HANDLER_TIMEOUT_S:g} s"
        raise EffectFailed(remove_secrets(f"handler {handler.name} {what}")) from error


def messages_of(route: Route, event: Event, origin: Origin) -> list[Message]:
    """What a route publishes for an event. Errors: `EffectFailed`."""
    # Counted from now, not from the event: what is processed again, later, is wanted then.
    in_s = route.expires_in_s
    expires_at = None if in_s is None else origin.now + timedelta(seconds=in_s)
    try:
        return [
            Message(
                channel=draft.channel,
                payload=draft.payload,
                key=_key(event, draft),
                correlation_id=origin.correlation_id,
                traceparent=origin.traceparent,
                expires_at=expires_at,
                urgency=route.urgency,
            )
            for draft in _drafts(route, event, origin.earlier)
        ]
    except (RouteFailed, Renamed) as failure:
        raise EffectFailed(remove_secrets(str(failure))) from failure


def _key(event: Event, draft: Draft) -> str:
    if draft.key is None:
        return f"{key_prefix(event)}{draft.name}"
    return f"stripe:{event.account_key}:key:{draft.key}"


def _drafts(route: Route, event: Event, earlier: Earlier) -> Iterator[Draft]:
    for draft in route.drafts(event):
        if not earlier.knows(route, draft):
            earlier.check(draft.channel, draft.name)
            yield draft
