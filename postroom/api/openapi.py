"""The OpenAPI document: the admin API as FastAPI tells it, and the routes that stand beside it."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from postroom.admin.tokens import Scope
from postroom.api.auth import admit
from postroom.api.context import context_of
from postroom.api.intake import batches, email_events
from postroom.api.intake.batches import Batch
from postroom.api.intake.event_model import EVENTS_MAX, Event
from postroom.channels.email.events.intake import EVENT_SECRETS
from postroom.channels.email.unsubscribe_link import PATH as UNSUBSCRIBE_PATH

_JSON: Final = {"schema": {"type": "object"}}
_PROBLEM: Final = {
    "description": "A problem document (RFC 9457).",
    "content": {"application/problem+json": _JSON},
}
_PAGE: Final = {
    "description": "A page for the receiver of a mail.",
    "content": {"text/html": {"schema": {"type": "string"}}},
}
_TOKEN: Final[list[dict[str, list[str]]]] = [{"HTTPBearer": []}]
# Of the providers, two log in; a document of this kind has no word for how the others sign.
_PROVIDER: Final[list[dict[str, list[str]]]] = [{"HTTPBasic": []}, {}]


async def openapi(request: Request) -> Response:
    """The OpenAPI document; outside of dev it needs `admin:read`."""
    if context_of(request).settings.prod:
        await admit(request, Scope.ADMIN_READ, keeps_to_reach=True)
    return JSONResponse(document(request.app.state.admin))


def document(admin: FastAPI) -> dict[str, Any]:
    """Every path but the console's."""
    whole = admin.openapi()
    [reference, batch], events = msgspec.json.schema_components(
        [Event, Batch], ref_template="#/components/schemas/{name}"
    )
    many = {"type": "array", "items": reference, "minItems": 1, "maxItems": EVENTS_MAX}
    components = whole["components"]
    schemes = {**components["securitySchemes"], "HTTPBasic": {"type": "http", "scheme": "basic"}}
    schemas = {name: each for name, each in components["schemas"].items() if "ValidationError" not in name}
    return {
        **whole,
        "components": {**components, "securitySchemes": schemes, "schemas": {**schemas, **events}},
        "paths": {**_admin_paths(whole), **_beside({"oneOf": [reference, many]}, batch)},
    }


def _admin_paths(whole: dict[str, Any]) -> dict[str, Any]:
    """FastAPI documents its own form of a 422, which is not what is answered here."""
    return {
        path: {method: {**each, "responses": _answers(each["responses"])} for method, each in methods.items()}
        for path, methods in whole["paths"].items()
    }


def _answers(documented: dict[str, Any]) -> dict[str, Any]:
    fine = {status: answer for status, answer in documented.items() if status.startswith("2")}
    return {**fine, "4XX": _PROBLEM, "503": _PROBLEM}


def _beside(events: dict[str, Any], batch: dict[str, Any]) -> dict[str, Any]:
    publish = _operation(
        "Publish one message, or up to 1,000, all or none", "events", 200, 201, security=_TOKEN
    )
    publish["requestBody"] = {"required": True, "content": {"application/json": {"schema": events}}}
    follows = _operation("Publish a batch and the task that follows it", "events", 200, 201, security=_TOKEN)
    follows["requestBody"] = {"required": True, "content": {"application/json": {"schema": batch}}}
    stripe = _operation("Stripe's webhooks: 200 only after the commit", "stripe", 200)
    stripe["requestBody"] = {"required": True, "content": {"application/json": _JSON}}
    stripe["parameters"] = [_parameter("header", "Stripe-Signature")]
    ready, one = (_operation("Readiness", "health", 200, 503) for _ in range(2))
    ready["parameters"] = [_parameter("query", "exclude")]
    one["parameters"] = [_parameter("path", "check", required=True)]
    metrics = _operation("Metrics for Prometheus", "health", security=_TOKEN)
    metrics["responses"]["200"] = {
        "description": "Samples.",
        "content": {"text/plain": {"schema": {"type": "string"}}},
    }
    return {
        "/v1/events": {"post": publish},
        batches.PATH: {"post": follows},
        "/v1/stripe/webhook": {"post": stripe},
        email_events.PATH: {"post": _email_events()},
        UNSUBSCRIBE_PATH: {
            "get": _page("The page behind a mail's link: asks, and changes nothing"),
            "post": _page("Unsubscribe with one click (RFC 8058)"),
        },
        "/livez": {"get": _operation("Liveness; checks nothing else", "health", 200)},
        "/healthz": {"get": _operation("Liveness with version and uptime", "health", 200)},
        "/readyz": {"get": ready},
        "/readyz/{check}": {"get": one},
        "/metrics": {"get": metrics},
    }


def _email_events() -> dict[str, Any]:
    told = _operation(
        "Email providers' events, each with its own login or signature: 200 only after the commit",
        "email",
        200,
        security=_PROVIDER,
    )
    provider = _parameter("path", "provider", required=True)
    provider["schema"] = {"type": "string", "enum": [each.value for each in EVENT_SECRETS]}
    told["parameters"] = [provider]
    body = {"oneOf": [{"type": "object"}, {"type": "array", "items": {"type": "object"}}]}
    told["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return told


def _page(summary: str) -> dict[str, Any]:
    operation = _operation(summary, "email")
    operation["parameters"] = [_parameter("query", "t")]
    operation["responses"] |= {"200": _PAGE, "404": _PAGE}
    return operation


def _operation(
    summary: str, tag: str, *statuses: int, security: list[dict[str, list[str]]] | None = None
) -> dict[str, Any]:
    answers = {
        str(status): {"description": "OK", "content": {"application/json": _JSON}} for status in statuses
    }
    operation = {
        "summary": summary,
        "tags": [tag],
        "responses": {"503": _PROBLEM, **answers, "4XX": _PROBLEM},
    }
    return operation if security is None else {**operation, "security": security}


def _parameter(place: str, name: str, *, required: bool = False) -> dict[str, Any]:
    return {"in": place, "name": name, "required": required, "schema": {"type": "string"}}
