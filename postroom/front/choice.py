"""Which ledger a request is for: what it names, else by tenant, by signature or the console's choice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Final

import msgspec
from starlette.requests import Request

from postroom.admin.tokens import well_formed
from postroom.api.auth import bearer_text
from postroom.api.intake.batches import PATH as BATCHES_PATH
from postroom.api.intake.batches import parse_batch
from postroom.api.intake.event_model import Event, parse_events, tenant_of
from postroom.base.errors import InvalidInput, InvalidPayload
from postroom.channels.email.unsubscribe_link import PATH as UNSUBSCRIBE_PATH
from postroom.channels.email.unsubscribe_link import read_token
from postroom.channels.stripe.ingest import Ingest
from postroom.front.directory import KnownDirectory
from postroom.main import EVENTS_PATH, STRIPE_PATH
from postroom.wiring import Services

HEADER: Final = "Postroom-Ledger"
PARAMETER: Final = "ledger"
COOKIE: Final = "postroom_ledger"
ENDPOINTS_PATH: Final = "/v1/admin/endpoints"
PLACES_SHOWN: Final = 20


class _OfTenant(msgspec.Struct):
    tenant: str = ""


_decode_tenant = msgspec.json.Decoder(_OfTenant).decode


class Choice:
    """Promise: one ledger a request. What names none and has no tenant is for the first one by name."""

    def __init__(self, services: Mapping[str, Services], directory: KnownDirectory) -> None:
        self._services = services
        self._directory = directory
        self.first = next(iter(services))

    def named(self, request: Request) -> str | None:
        """The one that is named by a header, or by a parameter for those who can send none.

        Errors: `InvalidInput` listing the names.
        """
        name = request.headers.get(HEADER) or request.query_params.get(PARAMETER)
        if name is not None and name not in self._services:
            known = ", ".join(self._services)
            raise InvalidInput(f"no ledger is called {name[:50]!r}; known: {known}", field=HEADER)
        return name

    async def of(self, request: Request) -> str:
        """Errors: `InvalidInput`, `InvalidPayload`; `Unavailable` while no directory is known."""
        path = request.url.path
        if path.startswith("/console"):  # by one way alone: the forms of a page go where the page is from
            chosen = request.cookies.get(COOKIE, "")
            return chosen if chosen in self._services else self.first
        if name := self.named(request):
            return name
        if path in (EVENTS_PATH, BATCHES_PATH) and request.method == "POST":
            text = bearer_text(request)
            if text is None or not well_formed(text):
                return self.first  # refused there, unread
            body = await request.body()
            return self._of_events(parse_events(body)[0] if path == EVENTS_PATH else _of_batch(body))
        if path == STRIPE_PATH:
            return await self._of_stripe(request)
        if path == UNSUBSCRIBE_PATH:
            return self._of_link(request)
        return await self._of_tenant(request)

    def _of_events(self, events: list[Event]) -> str:
        places = defaultdict[str, list[int]](list)
        for index, event in enumerate(events):
            places[self._directory.ledger_of(tenant_of(event))].append(index)
        if len(places) == 1:
            return next(iter(places))
        parts = "; ".join(f"{name}: {_shown(each)}" for name, each in sorted(places.items()))
        raise InvalidPayload(
            f"these are messages of several ledgers, and a request is for one: send them apart ({parts})",
            field="body",
        )

    async def _of_stripe(self, request: Request) -> str:
        """Whose secret has signed it; where several share that account, which one has the event's owner.

        What nobody has signed is refused by the first that awaits events.
        """
        awaiting = [name for name, each in self._services.items() if each.settings.stripe.on]
        signature = request.headers.get("stripe-signature")
        if len(awaiting) > 1 and signature:
            body = await request.body()
            for name in awaiting:
                ingest = self._services[name].stripe_ingest
                account = ingest.signer_of(body, signature)
                if account is not None:
                    owner = _owner(ingest, body, account)
                    return name if owner is None else self._directory.ledger_of(owner)
        return awaiting[0] if awaiting else self.first

    def _of_link(self, request: Request) -> str:
        secrets = self._services[self.first].settings.email.unsubscribe_secrets
        try:
            wish = read_token(secrets, request.query_params.get("t", "")) if secrets else None
        except InvalidInput:
            wish = None  # whoever answers says what is wrong with it
        return self._directory.ledger_of(wish.tenant) if wish else self.first

    async def _of_tenant(self, request: Request) -> str:
        """Of the API, by the tenant that it asks for, or whose endpoint it makes."""
        tenant = request.query_params.get("tenant", "")
        if request.url.path == ENDPOINTS_PATH and request.method == "POST":
            try:
                tenant = _decode_tenant(await request.body()).tenant
            except (msgspec.MsgspecError, UnicodeError):
                tenant = ""  # refused by whoever answers
        return self._directory.ledger_of(tenant) if tenant else self.first


def _of_batch(body: bytes) -> list[Event]:
    """What follows goes with the rest, unless it has a tenant of its own."""
    batch = parse_batch(body)
    return batch.everything if tenant_of(batch.then) else batch.events


def _owner(ingest: Ingest, body: bytes, account: str) -> str | None:
    try:
        return ingest.owner_of(body, account)
    except InvalidInput:
        return None  # refused by whoever answers


def _shown(indexes: list[int]) -> str:
    more = " …" if len(indexes) > PLACES_SHOWN else ""
    return f"{indexes[:PLACES_SHOWN]}{more}"
