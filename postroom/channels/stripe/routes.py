"""Routes: which Stripe event causes which messages, without code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

from jinja2.exceptions import TemplateError

from postroom.base import json
from postroom.base.errors import InvalidInput
from postroom.channels.stripe.event import Event
from postroom.channels.stripe.expressions import Context, Renderer
from postroom.channels.stripe.types import matches
from postroom.outbox.lanes import Urgency
from postroom.outbox.model import Channel
from postroom.outbox.references import refer

DEFAULTS: Final[dict[Channel, dict[str, str]]] = {
    Channel.WEBHOOK: {"type": "{{ event.type }}", "data": "{{ object }}"},
    Channel.EXPORT: {"record": "{{ object }}"},
    Channel.STRIPE_API: {"method": "POST"},
}
EMAIL_DATA: Final = {"object": "{{ object }}", "event": "{{ event }}"}
KEY_MAX: Final = 200
_SOME_ID: Final = UUID(int=0)
RECIPIENTS: Final = {
    Channel.EMAIL: ("to",),
    Channel.WEBHOOK: ("tenant", "url"),
    Channel.EXPORT: ("dataset",),
    Channel.STRIPE_API: ("path",),
    Channel.TASK: ("task",),
}
"""Where a message goes: a field that turns out null or empty here has nobody to go to."""


class RouteFailed(Exception):
    """A route could not be rendered for this event; the text names the route and the field."""


@dataclass(frozen=True, slots=True)
class Draft:
    """One message as a route wants it. `name` is stable for the route and its channel.

    `key`: what it is about; messages of one key on one channel are the same, whichever event caused them.
    """

    name: str
    channel: Channel
    payload: dict[str, Any]
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Effect:
    """One message of a route. `written`: its fields as the file has them."""

    channel: Channel
    fields: dict[str, Renderer]
    written: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Route:
    """One `[[route]]`. `name` is in the keys of its messages, so it decides what was sent before.

    `key`: what its messages are about, where several events may tell of it.
    `formerly`: names that it had; what was sent under one of them is not sent again.
    `expires_in_s`: what is not delivered so long after the event was processed is not sent any more.
    `optional`: a message with nobody to go to is left out instead of failing.
    `fetch`: the current object is fetched before the expressions see it.
    `customer`: its expressions look at the customer, too.
    `place`: file and line of it.
    """

    name: str
    on: str
    effects: Sequence[Effect]
    when: Renderer | None = None
    key: Renderer | None = None
    fetch: bool = False
    customer: bool = False
    optional: bool = False
    formerly: Sequence[str] = ()
    expires_in_s: float | None = None
    urgency: Urgency | None = None
    place: str = ""

    def drafts(self, event: Event) -> list[Draft]:
        """The messages of this route for an event. Errors: `RouteFailed`."""
        context: dict[str, Any] = {
            "event": event.body,
            "object": event.object,
            "previous": event.previous,
            "customer": event.buyer,
        }
        if self.when is not None and not self._render(self.when, context, "when"):
            return []
        key = self._key(context)
        return [draft for effect in self.effects if (draft := self._draft(effect, context, key)) is not None]

    def _key(self, context: Context) -> str | None:
        """A long one is told by its hash: the ledger's keys have a length."""
        if self.key is None:
            return None
        key = str(self._render(self.key, context, "key"))
        if not key:
            raise RouteFailed(f"route {self.name}: key is empty")
        return key if len(key) <= KEY_MAX else sha256(key.encode()).hexdigest()

    def _draft(self, effect: Effect, context: Context, key: str | None) -> Draft | None:
        payload = {
            name: self._render(render, context, f"{effect.channel}.{name}")
            for name, render in effect.fields.items()
        }
        empty = [name for name in RECIPIENTS[effect.channel] if name in payload and not payload[name]]
        if empty and self.optional:
            return None
        if empty:
            where = f"{effect.channel}.{empty[0]}"
            raise RouteFailed(f"route {self.name}: {where} is empty; nobody to send to (see `optional`)")
        try:
            # The event and its object were JSON when they came: they need not be written down to be sure.
            json.encode(refer(payload, source=_SOME_ID, event=context["event"]))
        except (InvalidInput, TypeError) as error:
            raise RouteFailed(f"route {self.name}: {effect.channel} is no JSON: {error}") from error
        return Draft(f"{self.name}:{effect.channel}", effect.channel, payload, key)

    def _render(self, render: Renderer, context: Context, where: str) -> Any:
        try:
            return render(context)
        except TemplateError as error:
            raise RouteFailed(f"route {self.name}: {where}: {error.message}") from error
        except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
            raise RouteFailed(f"route {self.name}: {where}: {type(error).__name__}: {error}") from error


@dataclass(frozen=True, slots=True)
class Routes:
    """All routes, in the order of the file."""

    routes: Sequence[Route] = ()

    def matching(self, event_type: str) -> list[Route]:
        return [route for route in self.routes if matches(route.on, event_type)]
