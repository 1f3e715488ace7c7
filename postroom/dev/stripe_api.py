"""A stand-in for Stripe's API: keeps objects and events, and can fail in every way that matters.

Run `python -m postroom.dev.stripe_api --port 12111`, or use `StripeStandIn` in a running loop.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any, Final
from urllib.parse import urlencode

from aiohttp import web
from aiohttp.typedefs import Handler

from postroom.dev.stripe_calls import Calls
from postroom.dev.stripe_endpoints import Endpoints
from postroom.dev.stripe_lists import list_page

PAGE_MAX: Final = 100
REQUESTS_KEPT_MAX: Final = 10_000


class Fault(StrEnum):
    """How the stand-in fails. `hang` takes the request and never answers."""

    NONE = "none"
    SERVER_ERROR = "server_error"
    RATE_LIMITED = "rate_limited"
    UNAUTHORIZED = "unauthorized"
    WRONG_MODE = "wrong_mode"
    NO_ACCESS = "no_access"
    LOCKED = "locked"
    BAD_VERSION = "bad_version"
    HANG = "hang"


_STATUS: Final = {
    Fault.SERVER_ERROR: 500,
    Fault.RATE_LIMITED: 429,
    Fault.UNAUTHORIZED: 401,
    Fault.WRONG_MODE: 404,
    Fault.NO_ACCESS: 404,
    Fault.LOCKED: 429,
    Fault.BAD_VERSION: 400,
}
_SAYS: Final[dict[Fault, dict[str, str]]] = {
    Fault.LOCKED: {"code": "lock_timeout", "message": "This object cannot be accessed right now."},
    Fault.WRONG_MODE: {
        "code": "resource_missing",
        "message": "No such object: 'x_1'; a similar object exists in live mode, but a test mode key was "
        "used to make this request.",
    },
    Fault.NO_ACCESS: {
        "code": "account_invalid",
        "message": "The provided key 'sk_***1234' does not have access to account 'acct_1' (or that account "
        "does not exist). Application access may have been revoked.",
    },
}


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """One request as it came in. `account`: whom it was made for; `key`: with whose key."""

    path: str
    account: str | None
    version: str | None
    authorized: bool
    key: str


@dataclass(slots=True)
class Trouble:
    """The fault in force, after how many requests it begins, and how many it hits; None: until lifted."""

    fault: Fault = Fault.NONE
    left: int | None = None
    retry_after_s: int = 1
    after: int = 0

    def take(self) -> Fault:
        if self.after > 0:
            self.after -= 1
            return Fault.NONE
        if self.fault is Fault.NONE or self.left is None:
            return self.fault
        if self.left <= 0:
            self.fault = Fault.NONE
            return self.fault
        self.left -= 1
        return self.fault


@dataclass(slots=True)
class StripeStandIn:
    """State and HTTP server. Stopping it makes connections be refused; its state stays."""

    port: int = 0
    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    requests: list[LoggedRequest] = field(default_factory=list)
    trouble: Trouble = field(default_factory=Trouble)
    refused: set[str] = field(default_factory=set)
    """Keys that it does not know any more."""
    rights: dict[str, set[str]] = field(default_factory=dict)
    """What restricted keys (`rk_…`) may: `webhook_read`, `event_read`, `customer_write` and so on."""
    endpoints: Endpoints = field(default_factory=Endpoints)
    calls: Calls = field(default_factory=Calls)
    _runner: web.AppRunner | None = None
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.calls.objects = self.objects

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def put(self, object: Mapping[str, Any], *, path: str | None = None) -> None:
        """Keep the state of an object. `path`: where it is retrieved, for objects of the v2 API."""
        self.objects[path or str(object["id"])] = dict(object)

    def delete(self, object_id: str) -> None:
        self.objects.pop(object_id, None)

    def add_event(self, event: Mapping[str, Any]) -> None:
        """An event that the list shows."""
        self.events.append(dict(event))

    def fail(self, fault: Fault, *, times: int | None = None, retry_after_s: int = 1, after: int = 0) -> None:
        """Fail from the request on that comes after `after` others."""
        self.trouble = Trouble(fault, times, retry_after_s, after)

    def recover(self) -> None:
        self.trouble = Trouble()

    async def start(self) -> None:
        """Listen; a port of 0 becomes a free one, and stays the same at the next start."""
        self._stopping.clear()
        app = web.Application(middlewares=[self._in_trouble])
        app.add_routes(
            [
                web.post("/_stand_in/objects", self._put),
                web.post("/_stand_in/fault", self._fault),
                *self.endpoints.routes(),
                web.get("/v1/events", self._list_events),
                web.get("/v2/core/events", self._list_thin_events),
                web.get("/v1/subscriptions", self._list_subscriptions),
                web.get("/v1/entitlements/active_entitlements", self._list_entitlements),
                web.get("/v1/{path:.+}", self._retrieve),
                web.get("/v2/{path:.+}", self._retrieve),
                *self.calls.routes(),
            ]
        )
        self._runner = web.AppRunner(app, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        self._stopping.set()
        self.calls.let_go()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @web.middleware
    async def _in_trouble(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith("/_stand_in/"):
            return await handler(request)
        key = request.headers.get("Authorization", "").removeprefix("Bearer ")
        authorized = key.startswith(("sk_", "rk_")) and key not in self.refused
        account = request.headers.get("Stripe-Account") or request.headers.get("Stripe-Context")
        version = request.headers.get("Stripe-Version")
        self.requests.append(LoggedRequest(request.path, account, version, authorized, key))
        del self.requests[:-REQUESTS_KEPT_MAX]
        fault = self.trouble.take() if authorized else Fault.UNAUTHORIZED
        if fault is Fault.HANG:
            await self._stopping.wait()
            raise web.HTTPServiceUnavailable
        if fault is not Fault.NONE:
            return self._refusal(fault, version)
        if self.endpoints.versions and version is not None and version not in self.endpoints.versions:
            return self._refusal(Fault.BAD_VERSION, version)
        right, may = _right(request), self.rights.get(key, set())
        if key.startswith("rk_") and not may & {right, right.replace("_read", "_write")}:
            return web.json_response({"error": _lacks(right)}, status=403)
        return await handler(request)

    def _refusal(self, fault: Fault, version: str | None) -> web.Response:
        headers = dict[str, str]()
        if fault is Fault.RATE_LIMITED:
            headers["Stripe-Rate-Limited-Reason"] = "global-rate"
            headers["Retry-After"] = str(self.trouble.retry_after_s)
        if fault is Fault.SERVER_ERROR:
            headers["Stripe-Should-Retry"] = "false"
        invalid = {"message": f"Invalid Stripe API version: {version}"}
        said = (
            invalid
            if fault is Fault.BAD_VERSION
            else _SAYS.get(fault, {"message": f"the stand-in was told to answer {fault}"})
        )
        error = {"type": "invalid_request_error" if fault in _SAYS else "api_error", **said}
        return web.json_response({"error": error}, status=_STATUS[fault], headers=headers)

    async def _put(self, request: web.Request) -> web.Response:
        """Body: one object, or `{"event": …}` for the list of events."""
        body = await request.json()
        if "event" in body:
            self.add_event(body["event"])
        else:
            self.put(body)
        return web.json_response({"kept": True})

    async def _fault(self, request: web.Request) -> web.Response:
        """Body: `{"fault": …, "times": …, "retry_after_s": …}`."""
        body = await request.json()
        self.fail(Fault(body["fault"]), times=body.get("times"), retry_after_s=body.get("retry_after_s", 1))
        return web.json_response({"fault": self.trouble.fault})

    async def _retrieve(self, request: web.Request) -> web.Response:
        found = self.objects.get(request.path) or self.objects.get(request.path.rpartition("/")[2])
        if found is None and (listed := list_page(self.objects.values(), request.path, request.query)):
            page, status = listed
            return web.json_response(page, status=status)
        if found is None:
            return _no_such(f"No such object: {request.path}")
        return web.json_response(_page(found, request.query) if found.get("object") == "list" else found)

    async def _list_subscriptions(self, request: web.Request) -> web.Response:
        """Of one customer, newest first; those that have ended with `status=all` only."""
        if "customer" not in request.query:
            return await self._retrieve(request)
        customer, ended = request.query["customer"], request.query.get("status") == "all"
        if customer not in self.objects:
            return _no_such(f"No such customer: '{customer}'", status=400)
        found = [
            each
            for each in self.objects.values()
            if each.get("object") == "subscription" and each.get("customer") == customer
        ]
        data = sorted(
            (each for each in found if ended or each.get("status") != "canceled"),
            key=lambda each: (each.get("created", 0), each["id"]),
            reverse=True,
        )
        return web.json_response(_page({"object": "list", "url": request.path, "data": data}, request.query))

    async def _list_entitlements(self, request: web.Request) -> web.Response:
        """What was put as a list for this very path and query."""
        customer = request.query["customer"]
        if customer not in self.objects:
            return _no_such(f"No such customer: '{customer}'", status=400)
        empty = {"object": "list", "url": request.path, "data": []}
        kept = self.objects.get(f"{request.path}?customer={customer}", empty)
        return web.json_response(_page(kept, request.query))

    async def _list_events(self, request: web.Request) -> web.Response:
        """Newest first, after `starting_after`, of the type and created within the bounds given."""
        query = request.query
        at_least, before = int(query.get("created[gte]", 0)), int(query.get("created[lt]", 2**62))
        snapshots = [event for event in self.events if event["object"] == "event"]
        newest = sorted(snapshots, key=lambda event: event["created"], reverse=True)
        listed = [
            event
            for event in newest
            if at_least <= event["created"] < before and fnmatchcase(event["type"], query.get("type", "*"))
        ]
        after = query.get("starting_after")
        if after is not None:
            places = [place for place, event in enumerate(listed) if event["id"] == after]
            listed = listed[places[0] + 1 :] if places else []
        limit = min(int(query.get("limit", 10)), PAGE_MAX)
        page = {
            "object": "list",
            "url": "/v1/events",
            "data": listed[:limit],
            "has_more": len(listed) > limit,
        }
        return web.json_response(page)

    async def _list_thin_events(self, request: web.Request) -> web.Response:
        """Newest first, created within the bounds given, from the place on that `next_page_url` names."""
        since = datetime.fromisoformat(request.query.get("created[gte]", "0001-01-01T00:00:00Z"))
        before = datetime.fromisoformat(request.query.get("created[lt]", "9999-12-31T00:00:00Z"))
        thin = [event for event in self.events if event["object"] == "v2.core.event"]
        listed = sorted(
            (event for event in thin if since <= datetime.fromisoformat(event["created"]) < before),
            key=lambda event: event["created"],
            reverse=True,
        )
        limit, start = int(request.query.get("limit", 20)), int(request.query.get("page", 0))
        end = start + limit
        bounds = {"created[gte]": since.isoformat(), "created[lt]": before.isoformat()}
        place = urlencode({"limit": limit, "page": end, **bounds})
        follows = f"/v2/core/events?{place}" if end < len(listed) else None
        page = {"data": listed[start:end], "next_page_url": follows, "previous_page_url": None}
        return web.json_response(page)


def _right(request: web.Request) -> str:
    """What a restricted key must be allowed for it."""
    what = "read" if request.method == "GET" else "write"
    resource = request.path.replace("/v2/core/", "/v2/").split("/")[2]
    named = {"webhook_endpoints": "webhook", "event_destinations": "webhook"}.get(resource)
    return f"{named or resource.rstrip('s')}_{what}"


def _no_such(message: str, *, status: int = 404) -> web.Response:
    error = {"type": "invalid_request_error", "code": "resource_missing", "message": message}
    return web.json_response({"error": error}, status=status)


def _lacks(right: str) -> dict[str, str]:
    message = (
        "The provided key 'rk_test_***1234' does not have the required permissions for this endpoint on "
        f"account 'acct_1'. Having the 'rak_{right}' permission would allow this request to continue."
    )
    return {"type": "invalid_request_error", "message": message}


def _page(whole: Mapping[str, Any], query: Mapping[str, str]) -> dict[str, Any]:
    """A part of a list that was put whole, after the item that `starting_after` names."""
    ids = [item["id"] for item in whole["data"]]
    start = ids.index(query["starting_after"]) + 1 if "starting_after" in query else 0
    end = start + min(int(query.get("limit", 10)), PAGE_MAX)
    return {**whole, "data": whole["data"][start:end], "has_more": end < len(ids)}


async def _serve(port: int) -> None:
    stand_in = StripeStandIn(port=port)
    await stand_in.start()
    print(f"Stripe stand-in on {stand_in.url}", flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        await stand_in.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description="A stand-in for Stripe's API")
    parser.add_argument("--port", type=int, default=12_111, help="0 for a free one")
    try:
        asyncio.run(_serve(parser.parse_args().port))
    except KeyboardInterrupt:
        return


if __name__ == "__main__":
    main()
