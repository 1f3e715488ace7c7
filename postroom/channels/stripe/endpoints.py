"""Webhook endpoints at Stripe, and thin event destinations of v2: read and changed alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import SecretStr

from postroom.channels.stripe.client import PAGE_MAX, Failed, Method, StripeApi

ENDPOINTS: Final = "/v1/webhook_endpoints"
DESTINATIONS: Final = "/v2/core/event_destinations"
PATH: Final = "/v1/stripe/webhook"
"""Our own, whatever the host is called from outside."""
NAME: Final = "Postroom"
SECRET_TAG: Final = "postroom_secret"  # noqa: S105
"""In an endpoint's metadata: the fingerprint of its secret, once that was kept."""
NOT_KEPT: Final = "not kept"
UNKNOWN_TAG: Final = "postroom_unknown_types"
"""Types that Stripe refused for an endpoint, and which only the mirror wanted."""
TAG_MAX: Final = 500
CONNECTED: Final = "@accounts"
_URL: Final = "webhook_endpoint.url"
_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class Kind(StrEnum):
    """Whose events come: our own, those of connected accounts, or thin ones."""

    OWN = "own"
    CONNECT = "connect"
    THIN = "thin"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One as Stripe has it. `secret`: the fingerprint of its secret, if we made it and its secret was kept.

    `api_version`: None where it has that of the account; thin events have none. `connected`: of thin events,
    whether those of connected accounts come, too, which is for good.
    """

    id: str
    kind: Kind
    url: str
    api_version: str | None
    types: frozenset[str]
    enabled: bool
    live: bool
    secret: str | None = None
    unknown_types: frozenset[str] = frozenset()
    connected: bool = False

    @property
    def path(self) -> str:
        return f"{DESTINATIONS if self.kind is Kind.THIN else ENDPOINTS}/{self.id}"

    def leads_to(self, webhook_url: str | None) -> bool:
        """Whether it is one of this installation's: an upgrade tells two apart by what follows `?`."""
        here, wanted = urlsplit(self.url), urlsplit(webhook_url or "")
        if webhook_url is None:
            return here.path == PATH
        return (here.scheme, here.netloc, here.path) == (wanted.scheme, wanted.netloc, wanted.path)


async def list_endpoints(api: StripeApi) -> list[Endpoint] | Failed:
    """Those for snapshot events, oldest first."""
    endpoints, after = list[Endpoint](), dict[str, str]()
    while True:
        page = await _ask(api, "get", ENDPOINTS, {"limit": PAGE_MAX, **after})
        if isinstance(page, Failed):
            return page
        listed = page.get("data") or []
        endpoints += [_endpoint(each) for each in listed]
        if not page.get("has_more") or not listed:
            return endpoints[::-1]
        after = {"starting_after": listed[-1]["id"]}


async def list_destinations(api: StripeApi) -> list[Endpoint] | Failed:
    """Those for thin events; Stripe lists others beside them."""
    destinations = list[Endpoint]()
    path: str | None = DESTINATIONS
    parameters: Mapping[str, Any] = {"include": [_URL]}
    while path is not None:
        page = await _ask(api, "get", path, parameters)
        if isinstance(page, Failed):
            return page
        listed = page.get("data") or []
        thin = [
            each for each in listed if each.get("event_payload") == "thin" and each.get("webhook_endpoint")
        ]
        destinations += [_destination(each) for each in thin]
        path, parameters = page.get("next_page_url"), {}
    return destinations


@dataclass(frozen=True, slots=True)
class Made:
    """A new endpoint, and its secret, which Stripe tells this one time."""

    endpoint: Endpoint
    secret: SecretStr


async def create_endpoint(
    api: StripeApi,
    kind: Kind,
    *,
    url: str,
    types: Sequence[str],
    api_version: str | None,
    connected: bool,
    unknown_types: str,
    key: str,
) -> Made | Failed:
    """`connected`: thin events of connected accounts, too. `key`: the same for each try."""
    metadata = {SECRET_TAG: NOT_KEPT, **({UNKNOWN_TAG: unknown_types} if unknown_types else {})}
    if kind is Kind.THIN:
        parameters: dict[str, Any] = {
            "name": NAME,
            "type": "webhook_endpoint",
            "event_payload": "thin",
            "enabled_events": list(types),
            "webhook_endpoint": {"url": url},
            "include": ["webhook_endpoint.signing_secret", _URL],
            **({"events_from": ["@self", CONNECTED]} if connected else {}),
            "metadata": metadata,
        }
        made = await _ask(api, "post", DESTINATIONS, parameters, idempotency_key=key)
        if isinstance(made, Failed):
            return made
        return Made(_destination(made), SecretStr(made["webhook_endpoint"]["signing_secret"]))
    parameters = {
        "url": url,
        "enabled_events": list(types),
        "description": NAME,
        "metadata": metadata,
        **({"api_version": api_version} if api_version else {}),
        **({"connect": True} if kind is Kind.CONNECT else {}),
    }
    made = await _ask(api, "post", ENDPOINTS, parameters, idempotency_key=key)
    if isinstance(made, Failed):
        return made
    return Made(_endpoint(made), SecretStr(made["secret"]))


async def change_types(
    api: StripeApi, endpoint: Endpoint, types: Sequence[str], unknown_types: str
) -> Failed | None:
    changed: dict[str, Any] = {"enabled_events": list(types)}
    if unknown_types:
        changed["metadata"] = {UNKNOWN_TAG: unknown_types}
    return _fault(await _ask(api, "post", endpoint.path, changed))


async def enable(api: StripeApi, endpoint: Endpoint, *, on: bool = True) -> Failed | None:
    if endpoint.kind is Kind.THIN:
        return _fault(await _ask(api, "post", f"{endpoint.path}/{'enable' if on else 'disable'}"))
    return _fault(await _ask(api, "post", endpoint.path, {"disabled": not on}))


async def note_secret(api: StripeApi, endpoint: Endpoint, fingerprint: str) -> Failed | None:
    """Say at Stripe that the secret was kept, so that later runs know it again."""
    return _fault(await _ask(api, "post", endpoint.path, {"metadata": {SECRET_TAG: fingerprint}}))


async def delete_endpoint(api: StripeApi, endpoint: Endpoint) -> Failed | None:
    """One that is gone already is no fault."""
    fault = _fault(await _ask(api, "delete", endpoint.path))
    return None if fault is not None and fault.status == 404 else fault


async def _ask(
    api: StripeApi,
    method: Method,
    path: str,
    parameters: Mapping[str, Any] = _NOTHING,
    *,
    idempotency_key: str | None = None,
) -> dict[str, Any] | Failed:
    sent = await api.send(method, path, parameters, idempotency_key=idempotency_key)
    return sent if isinstance(sent, Failed) else sent.data


def _fault(answer: dict[str, Any] | Failed) -> Failed | None:
    return answer if isinstance(answer, Failed) else None


def _endpoint(told: Mapping[str, Any]) -> Endpoint:
    """Stripe names the platform's application on those for connected accounts, and on no others."""
    return Endpoint(
        kind=Kind.CONNECT if told.get("application") else Kind.OWN,
        url=str(told.get("url")),
        api_version=told.get("api_version"),
        **_common(told),
    )


def _destination(told: Mapping[str, Any]) -> Endpoint:
    url = (told.get("webhook_endpoint") or {}).get("url")
    connected = CONNECTED in (told.get("events_from") or ())
    return Endpoint(kind=Kind.THIN, url=str(url), api_version=None, connected=connected, **_common(told))


def _common(told: Mapping[str, Any]) -> dict[str, Any]:
    metadata = told.get("metadata") or {}
    return {
        "id": str(told["id"]),
        "types": frozenset(map(str, told.get("enabled_events") or ())),
        "enabled": told.get("status") == "enabled",
        "live": bool(told.get("livemode")),
        "secret": metadata.get(SECRET_TAG),
        "unknown_types": frozenset(filter(None, str(metadata.get(UNKNOWN_TAG) or "").split(","))),
    }
