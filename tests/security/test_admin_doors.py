"""Every admin path against every kind of wrong caller. The paths come from the application itself."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from fastapi.routing import APIRoute

from postroom.admin.audit import Actor
from postroom.admin.tokens import Scope, generate_token, insert_token, revoke
from postroom.api.admin.application import ROUTERS, create_admin
from postroom.api.auth import AUDITED_REFUSALS_MAX, FAILURES_MAX
from postroom.base.db import transaction
from postroom.base.settings import Settings
from tests.fixtures.api import Api, running_api

REFUSED = {"absent": 401, "wrong": 401, "malformed": 401, "expired": 401, "revoked": 401, "narrow": 403}
OPEN = {
    *("/v1/stripe/webhook", "/v1/email/events/{provider}", "/unsubscribe"),
    *("/livez", "/healthz", "/readyz", "/readyz/{check}", "/metrics"),
}
"""Paths that need no token; `/metrics` has one of its own, where that is set."""


@pytest.fixture
async def api(dsn: str, tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(dsn, Settings(state_dir=tmp_path)) as running:
        running.lift_rate_limits()
        yield running


def operations(document: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (method.upper(), path)
        for path, methods in document["paths"].items()
        for method in methods
        if path not in OPEN
    ]


def concrete(path: str) -> str:
    return re.sub(r"\{[^}]+\}", str(UUID(int=7)), path)


async def credentials(api: Api) -> dict[str, dict[str, str]]:
    """One set of headers for each kind of caller that must stay outside; `narrow` may do nothing of it."""
    async with transaction(api.pool) as conn:
        past = datetime.now(UTC) - timedelta(seconds=1)
        expired, _ = await insert_token(conn, name="old", scopes=tuple(Scope), expires_at=past)
        revoked, token = await insert_token(conn, name="gone", scopes=tuple(Scope))
        await revoke(conn, token.id, actor=Actor("test"))
        narrow, _ = await insert_token(conn, name="narrow", scopes=(Scope.METRICS_READ,))
    texts = {
        "wrong": generate_token(),
        "malformed": "pr_" + "a" * 39,
        "expired": expired,
        "revoked": revoked,
        "narrow": narrow,
    }
    return {"absent": {}} | {kind: {"Authorization": f"Bearer {text}"} for kind, text in texts.items()}


async def test_every_admin_path_refuses_every_wrong_caller_and_says_so_in_the_trail(api: Api) -> None:
    wrong = await credentials(api)
    asked = operations((await api.get("/openapi.json")).json)
    assert len(asked) > 20
    failed: list[tuple[str, str, str, int]] = []
    expected: dict[tuple[str, str], int] = {}
    for method, path in asked:
        for kind, headers in wrong.items():
            answer = await api.call(method, concrete(path), headers=headers, json={})
            if answer.status != REFUSED[kind]:
                failed.append((method, path, kind, answer.status))
            subject = f"{method} {concrete(path)}"
            why = {"absent": "absent", "narrow": "scope"}.get(kind, "unknown")
            expected[subject, why] = expected.get((subject, why), 0) + 1
    assert failed == []
    rows = await api.pool.fetch(
        "select subject, detail->>'why' as why, count(*) as n from postroom.audit"
        " where action = 'auth.refused' and request_id is not null group by 1, 2"
    )
    assert {(row["subject"], row["why"]): row["n"] for row in rows} == expected


def test_no_admin_route_is_left_out_of_the_document() -> None:
    admin = create_admin()
    documented = {
        (method.upper(), path) for path, methods in admin.openapi()["paths"].items() for method in methods
    }
    every = [route for router in ROUTERS for route in router.routes]
    assert len(admin.routes) == len(ROUTERS), "a route beside the routers would not be checked"
    routes = [route for route in every if isinstance(route, APIRoute)]
    assert len(routes) == len(every), "a route that is no API route would not be checked"
    served = {(method, route.path_format) for route in routes for method in route.methods or ()}
    assert served == documented
    operations = [each for path in admin.openapi()["paths"].values() for each in path.values()]
    assert all(each.get("security") == [{"HTTPBearer": []}] for each in operations)


@pytest.mark.parametrize("name", ["token", "access_token", "authorization", "key"])
async def test_a_token_in_the_url_opens_nothing(api: Api, name: str) -> None:
    assert (await api.get(f"/v1/admin/circuits?{name}={api.token}", headers={})).status == 401


@pytest.mark.parametrize("form", ["Basic {0}", "Token {0}", "{0}", "Bearer", "Bearer {0} x", "Bearer x{0}"])
async def test_only_a_bearer_token_alone_counts(api: Api, form: str) -> None:
    headers = {"Authorization": form.format(api.token)}
    assert (await api.get("/v1/admin/circuits", headers=headers)).status == 401


async def test_a_token_never_reaches_the_log_the_trail_or_an_answer(
    api: Api, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    unknown, narrow = generate_token(), await api.make_token(Scope.METRICS_READ)
    texts = []
    for token in (unknown, narrow, api.token):
        headers = {"Authorization": f"Bearer {token}"}
        for path in ("circuits", "outbox/zzz", "nowhere", "tokens", f"outbox?key={token}"):
            texts.append((await api.get(f"/v1/admin/{path}", headers=headers)).text)
    trail = await api.pool.fetch("select a::text from postroom.audit a")
    printed = capfd.readouterr()
    # `postroom serve` runs with uvicorn's own access log off; this test's server does not.
    logged = [each.getMessage() for each in caplog.records if each.name != "uvicorn.access"]
    everything = "\n".join([*texts, str(trail), printed.out, printed.err, *logged])
    assert "auth.refused" in everything
    for token in (unknown, narrow, api.token):
        assert token not in everything


async def test_failures_of_one_kind_are_limited_and_hide_no_other_kind(dsn: str, tmp_path: Path) -> None:
    async with running_api(dsn, Settings(state_dir=tmp_path)) as api:
        wrong = {"Authorization": f"Bearer {generate_token()}"}
        narrow = {"Authorization": f"Bearer {await api.make_token(Scope.METRICS_READ)}"}
        statuses = [(await api.get("/v1/admin/circuits", headers=wrong)).status for _ in range(25)]
        assert statuses == [401] * FAILURES_MAX + [429] * (25 - FAILURES_MAX)
        assert (await api.get("/v1/admin/circuits", headers=narrow)).status == 429
        assert (await api.get("/v1/admin/circuits")).status == 429
        rows = await api.pool.fetchval("select count(*) from postroom.audit where action = 'auth.refused'")
        assert rows == AUDITED_REFUSALS_MAX


async def test_a_flood_without_a_token_does_not_hide_a_token_that_reaches_too_far(
    dsn: str, tmp_path: Path
) -> None:
    async with running_api(dsn, Settings(state_dir=tmp_path)) as api:
        narrow = {"Authorization": f"Bearer {await api.make_token(Scope.METRICS_READ, name='scraper')}"}
        for _ in range(AUDITED_REFUSALS_MAX + 5):
            assert (await api.get("/v1/admin/circuits", headers={})).status == 401
        assert (await api.get("/v1/admin/circuits", headers=narrow)).status == 403
        rows = await api.pool.fetch(
            "select actor, count(*) as n from postroom.audit where action = 'auth.refused' group by 1"
        )
        assert {row["actor"]: row["n"] for row in rows} == {
            "anonymous": AUDITED_REFUSALS_MAX,
            "token:scraper": 1,
        }
