"""Every operation of the OpenAPI document, called with what nobody thought of, by every kind of caller."""

from __future__ import annotations

import asyncio
import base64
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from postroom.admin.tokens import Scope
from postroom.base.db import transaction
from postroom.base.settings import Settings
from postroom.base.stripe_settings import StripeSettings
from postroom.channels.email.unsubscribe_link import PATH, Unsubscribe, make_link
from postroom.channels.webhooks import endpoints
from postroom.outbox.model import Message
from postroom.outbox.publish import publish_many
from tests.fixtures import email_events
from tests.fixtures.api import Api, running_api

ANSWER_S = 5.0
EXAMPLES_OF_ALL = 25
EXAMPLES_OF_ONE = 2
START_S = 30.0
LEAKS = re.compile(r"Traceback|asyncpg|postgresql://|site-packages|whsec_(test|[A-Za-z0-9+/]{32})")
MAKES_SECRETS = {"/v1/admin/endpoints", "/v1/admin/endpoints/{endpoint_id}/rotate"}
CHECKS = [not_a_server_error, content_type_conformance, response_schema_conformance, status_code_conformance]
# 503 is a documented answer of /readyz: no runner runs here.
NO_SERVER_ERROR = {"/readyz", "/readyz/{check}"}
UNSUBSCRIBE_SECRET = SecretStr("what-the-links-of-this-test-are-made-with")
LOGIN = base64.b64encode(email_events.LOGIN.encode()).decode()


@dataclass(slots=True)
class Served:
    """The API in a thread of its own, for a client that blocks. `ids`: things that are really there."""

    url: str
    document: dict[str, Any]
    tokens: dict[str, str]
    ids: list[UUID]


async def _serve(
    dsn: str, folder: Path, found: list[Served], ready: threading.Event, stop: threading.Event
) -> None:
    stripe = StripeSettings(webhook_secrets=(SecretStr("whsec_test_secret"),))
    email = email_events.settings().model_copy(update={"unsubscribe_secrets": UNSUBSCRIBE_SECRET})
    async with running_api(dsn, Settings(state_dir=folder, stripe=stripe, email=email)) as api:
        api.lift_rate_limits()
        tokens = {"nobody": "", "all": api.token}
        tokens |= {scope.value: await api.make_token(scope) for scope in Scope}
        document = (await api.get("/openapi.json")).json
        url = str(api.client._base_url).rstrip("/")
        found.append(Served(url, document, tokens, await _things(api)))
        ready.set()
        while not stop.is_set():
            await asyncio.sleep(0.05)


async def _things(api: Api) -> list[UUID]:
    payload = {"to": "ada@example.com", "subject": "s", "text": "t"}
    async with transaction(api.pool) as conn:
        published = await publish_many(conn, [Message(channel="email", payload=payload)] * 2)
        made = await endpoints.create_endpoint(
            conn, tenant="acme", url="https://example.com/", allow_private=True
        )
    return [*(each.id for each in published), made.endpoint.id]


@pytest.fixture
def served(dsn: str, tmp_path: Path) -> Iterator[Served]:
    found: list[Served] = []
    ready, stop = threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(_serve(dsn, tmp_path, found, ready, stop)))
    thread.start()
    try:
        assert ready.wait(START_S), "the API did not start"
        yield found[0]
    finally:
        stop.set()
        thread.join(START_S)


def _call(served: Served, case: Any, caller: str, known: UUID | None) -> Any:
    """One call. `known` stands in for the path's ids, and the like for what else names a thing, so that some
    are found. `all` logs in as a provider where one does."""
    for name in case.path_parameters or {}:
        if known is not None and name.endswith("id"):
            case.path_parameters[name] = str(known)
        elif known is not None and name == "channel":
            case.path_parameters[name] = "email"
        elif caller == "all" and name == "provider":  # Brevo's events may be a list, and an empty one
            case.path_parameters[name] = "brevo" if known is not None else "postmark"
    if known is not None and case.operation.path == PATH:
        case.query = {"t": make_link("", UNSUBSCRIBE_SECRET, _wish(known)).partition("=")[2]}
    # What the case itself says of a caller does not count: this test is about known ones.
    case.headers = {
        name: text for name, text in (case.headers or {}).items() if name.lower() != "authorization"
    }
    headers = _credentials(served, case, caller)
    answer = case.call(base_url=served.url, headers=headers, timeout=ANSWER_S)
    if answer.status_code >= 400 or case.operation.path not in MAKES_SECRETS:
        assert not LEAKS.search(answer.text), answer.text[:500]
    if answer.status_code >= 400 and case.operation.path not in NO_SERVER_ERROR:
        wanted = "application/problem+json"
        if case.operation.path == PATH and answer.status_code == 404:  # a person reads it
            wanted = "text/html; charset=utf-8"
        assert answer.headers["content-type"] == [wanted], answer.text[:300]
    return answer


def _wish(message_id: UUID) -> Unsubscribe:
    return Unsubscribe(message_id, "ada@example.com", "acme", "offers")


def _credentials(served: Served, case: Any, caller: str) -> dict[str, str]:
    if caller == "all" and {"HTTPBasic": []} in case.operation.definition.raw.get("security", []):
        return {"Authorization": f"Basic {LOGIN}"}
    token = served.tokens[caller]
    return {"Authorization": f"Bearer {token}"} if token else {}


def _try(served: Served, operation: Any, callers: list[str], examples_max: int) -> set[int]:
    statuses: set[int] = set()
    wanted = [c for c in CHECKS if c is not not_a_server_error or operation.path not in NO_SERVER_ERROR]

    @seed(20_260_101)
    @settings(
        max_examples=examples_max,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(
        case=operation.as_strategy(),
        caller=st.sampled_from(callers),
        known=st.sampled_from([None, *served.ids]),
    )
    def one(case: Any, caller: str, known: UUID | None) -> None:
        answer = _call(served, case, caller, known)
        statuses.add(answer.status_code)
        if answer.status_code not in (401, 403):
            case.validate_response(answer, checks=wanted)

    one()
    return statuses


@pytest.mark.timeout(180)
def test_no_operation_breaks_hangs_or_tells_too_much_whoever_calls(served: Served) -> None:
    schema = schemathesis.openapi.from_dict(served.document)
    operations: list[Any] = [result.ok() for result in schema.get_all_operations()]  # type: ignore[union-attr]
    assert len(operations) > 30
    scopes = [scope.value for scope in Scope]
    taken = 0
    for operation in operations:
        allowed = _try(served, operation, ["all"], EXAMPLES_OF_ALL)
        assert allowed.isdisjoint({401, 403}), operation.label
        taken += any(status < 300 for status in allowed)
        _try(served, operation, scopes, EXAMPLES_OF_ONE * len(scopes))
        if operation.definition.raw.get("security"):
            outside = _try(served, operation, ["nobody"], EXAMPLES_OF_ONE)
            assert outside == {401} or operation.path == "/metrics", operation.label
    assert taken > len(operations) / 2, "hardly any call was a good one: the test would prove little"
    assert requests.get(f"{served.url}/livez", timeout=ANSWER_S).status_code == 200
