"""Webhook endpoints and event destinations of v2, as the stand-in for Stripe's API keeps them."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from aiohttp import web

from postroom.channels.stripe.types import known_types

ENDPOINTS_MAX: Final = 16
DESTINATIONS: Final = "/v2/core/event_destinations"
_ITEM: Final = re.compile(r"(\w+)\[(\w+)\]")


class Refused(Exception):
    """What the stand-in does not take. `args`: the text, and the parameter that is wrong."""


@dataclass(slots=True)
class Endpoints:
    """All endpoints of one account, by id, test ones beside live ones.

    `secrets`: what their events are signed with, told once. `unknown_types`: what Stripe does not know,
    though its library does. `versions`: what it still speaks; empty: everything.
    """

    kept: dict[str, dict[str, Any]] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    unknown_types: set[str] = field(default_factory=set)
    versions: set[str] = field(default_factory=set)
    v2: bool = True
    lost: int = 0
    """How many endpoints are made without an answer; the same key is answered as the first time."""
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    changes: list[str] = field(default_factory=list)
    """Every request that changed something: `POST /v1/webhook_endpoints` and so on."""

    def add(self, url: str) -> str:
        """One that is there already, for all types. Returns: its id."""
        made = f"we_{secrets.token_hex(8)}"
        self.kept[made] = {
            "id": made,
            "object": "webhook_endpoint",
            "api_version": None,
            "application": None,
            "enabled_events": ["*"],
            "livemode": False,
            "metadata": {},
            "status": "enabled",
            "url": url,
        }
        return made

    def disable(self, endpoint_id: str) -> None:
        """As Stripe does after days of failures, or somebody in the dashboard."""
        self.kept[endpoint_id]["status"] = "disabled"

    def remove(self, endpoint_id: str) -> None:
        del self.kept[endpoint_id]

    def named(self, object_type: str) -> list[dict[str, Any]]:
        """Oldest first."""
        return [each for each in self.kept.values() if each["object"] == object_type]

    def receiving(self, event_type: str) -> list[dict[str, Any]]:
        """The endpoints to which Stripe would send such an event."""
        return [
            each
            for each in self.kept.values()
            if each["status"] == "enabled" and {event_type, "*"} & set(each["enabled_events"])
        ]

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/webhook_endpoints", self._create),
            web.get("/v1/webhook_endpoints", self._list),
            web.post("/v1/webhook_endpoints/{id}", self._update),
            web.delete("/v1/webhook_endpoints/{id}", self._delete),
            web.post(DESTINATIONS, self._create_destination),
            web.get(DESTINATIONS, self._list_destinations),
            web.post(f"{DESTINATIONS}/{{id}}", self._update_destination),
            web.post(f"{DESTINATIONS}/{{id}}/{{status:enable|disable}}", self._switch_destination),
            web.delete(f"{DESTINATIONS}/{{id}}", self._delete),
        ]

    async def _create(self, request: web.Request) -> web.Response:
        if (known := self.answers.get(request.headers.get("Idempotency-Key", ""))) is not None:
            return web.json_response(known, headers={"Idempotent-Replayed": "true"})
        given = _fields(await request.post())
        version = given.get("api_version")
        try:
            self._check(given, version)
        except Refused as refused:
            return _refusal(*refused.args)
        endpoint = {
            "id": f"we_{secrets.token_hex(8)}",
            "object": "webhook_endpoint",
            "api_version": version,
            "application": "ca_platform" if given.get("connect") == "true" else None,
            "created": int(datetime.now(UTC).timestamp()),
            "description": given.get("description"),
            "enabled_events": given["enabled_events"],
            "livemode": _live(request),
            "metadata": given.get("metadata", {}),
            "status": "enabled",
            "url": given["url"],
        }
        return self._keep(request, endpoint, lambda secret: {"secret": secret})

    async def _list(self, request: web.Request) -> web.Response:
        """Newest first, as Stripe lists."""
        listed = [each for each in self.named("webhook_endpoint") if each["livemode"] is _live(request)][::-1]
        after = request.query.get("starting_after")
        start = 1 + [each["id"] for each in listed].index(after) if after else 0
        end = start + int(request.query.get("limit", 10))
        page = {
            "object": "list",
            "url": request.path,
            "data": listed[start:end],
            "has_more": end < len(listed),
        }
        return web.json_response(page)

    async def _update(self, request: web.Request) -> web.Response:
        """Version and scope of an endpoint are for good."""
        given = _fields(await request.post())
        endpoint = self.kept.get(request.match_info["id"])
        if endpoint is None:
            return _refusal(f"No such webhook endpoint: '{request.match_info['id']}'", None, 404)
        if fixed := given.keys() - {"url", "enabled_events", "description", "metadata", "disabled"}:
            return _refusal(f"Received unknown parameter: {min(fixed)}", min(fixed))
        try:
            self._check({**endpoint, **given}, None)
        except Refused as refused:
            return _refusal(*refused.args)
        self._note(request)
        disabled = given.pop("disabled", None)
        endpoint["metadata"] |= given.pop("metadata", {})
        endpoint |= given
        if disabled is not None:
            endpoint["status"] = "disabled" if disabled == "true" else "enabled"
        return web.json_response(endpoint)

    async def _delete(self, request: web.Request) -> web.Response:
        endpoint = self.kept.pop(request.match_info["id"], None)
        if endpoint is None:
            return _refusal(f"No such webhook endpoint: '{request.match_info['id']}'", None, 404)
        self._note(request)
        return web.json_response({"id": endpoint["id"], "object": endpoint["object"], "deleted": True})

    async def _create_destination(self, request: web.Request) -> web.Response:
        if not self.v2:
            return _refusal("Your account is not enabled for this API.", None, 403)
        given = await request.json()
        try:
            self._check({"enabled_events": [], "url": given["webhook_endpoint"]["url"]}, None)
        except Refused as refused:
            return _refusal(*refused.args)
        destination = {
            "id": f"ed_{secrets.token_hex(8)}",
            "object": "v2.core.event_destination",
            "created": datetime.now(UTC).isoformat(),
            "livemode": _live(request),
            "status": "enabled",
            "metadata": {},
            "events_from": ["@self"],
            **{name: value for name, value in given.items() if name != "include"},
        }
        told = "webhook_endpoint.signing_secret" in given.get("include", ())
        url = destination["webhook_endpoint"]["url"]

        def tell(secret: str) -> dict[str, Any]:
            return {"webhook_endpoint": {"url": url, "signing_secret": secret if told else None}}

        return self._keep(request, destination, tell)

    async def _list_destinations(self, request: web.Request) -> web.Response:
        if not self.v2:
            return _refusal("Your account is not enabled for this API.", None, 403)
        named = self.named("v2.core.event_destination")
        listed = [each for each in named if each["livemode"] is _live(request)]
        told = any(
            name.startswith("include") and value.endswith(".url") for name, value in request.query.items()
        )
        if not told:
            listed = [{**each, "webhook_endpoint": {"url": None}} for each in listed]
        limit, start = int(request.query.get("limit", 20)), int(request.query.get("page", 0))
        end = start + limit
        asked = {**request.query, "page": str(end)}
        follows = str(request.rel_url.with_query(asked)) if end < len(listed) else None
        page = {"data": listed[start:end], "next_page_url": follows, "previous_page_url": None}
        return web.json_response(page)

    async def _update_destination(self, request: web.Request) -> web.Response:
        destination = self.kept.get(request.match_info["id"])
        if destination is None:
            return _refusal("No such event destination", None, 404)
        self._note(request)
        given = await request.json()
        destination["metadata"] |= given.pop("metadata", {})
        destination |= {name: value for name, value in given.items() if name != "include"}
        return web.json_response(destination)

    async def _switch_destination(self, request: web.Request) -> web.Response:
        destination = self.kept.get(request.match_info["id"])
        if destination is None:
            return _refusal("No such event destination", None, 404)
        self._note(request)
        destination["status"] = f"{request.match_info['status']}d"
        return web.json_response(destination)

    def _keep(
        self, request: web.Request, endpoint: dict[str, Any], tell: Callable[[str], dict[str, Any]]
    ) -> web.Response:
        """Answered with its secret this one time."""
        self._note(request)
        secret = self.secrets[endpoint["id"]] = f"whsec_{secrets.token_hex(16)}"
        self.kept[endpoint["id"]] = endpoint
        answer = {**endpoint, **tell(secret)}
        self.answers[request.headers.get("Idempotency-Key", "")] = answer
        if self.lost > 0 and request.transport is not None:
            self.lost -= 1
            request.transport.close()
        return web.json_response(answer)

    def _note(self, request: web.Request) -> None:
        self.changes.append(f"{request.method} {request.path}")

    def _check(self, given: Mapping[str, Any], version: str | None) -> None:
        """Errors: `Refused`."""
        if version and self.versions and version not in self.versions:
            raise Refused(f"Invalid API version: {version}", "api_version")
        if not str(given["url"]).startswith(("https://", "http://")):
            raise Refused("Invalid URL: An explicit scheme (such as https) must be provided.", "url")
        if "id" not in given and len(self.kept) >= ENDPOINTS_MAX:
            raise Refused(f"You have reached the maximum of {ENDPOINTS_MAX} test webhook endpoints.", None)
        known = known_types() - self.unknown_types
        for nth, event_type in enumerate(given["enabled_events"]):
            if event_type not in known and event_type != "*":
                told = ", ".join(sorted(known))
                raise Refused(
                    f"Invalid enabled_events[{nth}]: must be one of {told}", f"enabled_events[{nth}]"
                )


def _fields(form: Mapping[str, Any]) -> dict[str, Any]:
    """A form as Stripe reads it: `enabled_events[0]`, `metadata[name]`."""
    fields: dict[str, Any] = {}
    for name, value in form.items():
        item = _ITEM.fullmatch(name)
        if item is None:
            fields[name] = value
        elif item[2].isdecimal():
            fields.setdefault(item[1], []).append(value)
        else:
            fields.setdefault(item[1], {})[item[2]] = value
    return fields


def _live(request: web.Request) -> bool:
    return "_live_" in request.headers.get("Authorization", "")


def _refusal(message: str, param: str | None, status: int = 400) -> web.Response:
    error = {"type": "invalid_request_error", "message": message, "param": param}
    return web.json_response({"error": error}, status=status)
