"""Who may call: tokens, scopes, limits on failures, the trail of refusals."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from postroom.admin.tokens import Scope, generate_token
from postroom.api.auth import AUDITED_REFUSALS_MAX, FAILURES_MAX
from postroom.base.settings import Settings
from tests.fixtures.api import Api, running_api


@pytest.fixture
async def api(dsn: str, tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(dsn, Settings(state_dir=tmp_path)) as running:
        yield running


async def test_without_a_token_there_is_no_admin(api: Api) -> None:
    for path in (
        "/v1/admin/jobs/status",
        "/v1/admin/outbox",
        "/v1/admin/outbox/dead-letter",
        "/v1/admin/circuits",
    ):
        answer = await api.get(path, headers={})
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert answer.headers["Content-Type"] == "application/problem+json"


async def test_a_token_opens_only_what_its_scopes_name(api: Api) -> None:
    reader = {"Authorization": f"Bearer {await api.make_token(Scope.ADMIN_READ)}"}
    assert (await api.get("/v1/admin/outbox", headers=reader)).status == 200
    refused = await api.post("/v1/admin/jobs/canary/run", headers=reader)
    assert refused.status == 403
    assert "jobs:run" in refused.json["detail"]
    assert (await api.post("/v1/events", headers=reader, json={})).status == 403


async def test_failures_are_limited_and_do_not_lock_out_who_is_known(api: Api) -> None:
    assert (await api.get("/v1/admin/circuits")).status == 200
    wrong = {"Authorization": f"Bearer {generate_token()}"}
    for _ in range(FAILURES_MAX):
        assert (await api.get("/v1/admin/circuits", headers=wrong)).status == 401
    limited = await api.get("/v1/admin/circuits", headers=wrong)
    assert limited.status == 429
    assert 1 <= int(limited.headers["Retry-After"]) <= 60
    assert (await api.get("/v1/admin/circuits")).status == 200
    refusals = await api.pool.fetchval("select count(*) from postroom.audit where action = 'auth.refused'")
    assert refusals == AUDITED_REFUSALS_MAX


async def test_tokens_are_made_and_revoked_over_http(api: Api) -> None:
    made = await api.post("/v1/admin/tokens", json={"name": "ci", "scopes": ["admin:read"]})
    assert made.status == 201
    secret = made.json["secret"]
    listed = await api.get("/v1/admin/tokens")
    assert secret not in listed.text
    assert "ci" in {token["name"] for token in listed.json["tokens"]}
    revoked = await api.call("DELETE", f"/v1/admin/tokens/{made.json['id']}")
    assert revoked.json["revoked_at"]
    assert (await api.get("/v1/admin/circuits", headers={"Authorization": f"Bearer {secret}"})).status == 401
    trail = (await api.get("/v1/admin/audit")).json["items"]
    assert [entry["action"] for entry in trail] == ["auth.refused", "token.revoke", "token.create"]
    assert all(entry["request_id"] for entry in trail)


async def test_nobody_gives_away_more_than_they_hold(api: Api) -> None:
    writer = {"Authorization": f"Bearer {await api.make_token(Scope.TOKENS_WRITE)}"}
    answer = await api.post("/v1/admin/tokens", headers=writer, json={"name": "x", "scopes": ["jobs:run"]})
    assert answer.status == 403
    assert answer.json["field"] == "scopes"


async def test_a_request_keeps_the_id_it_came_with(api: Api) -> None:
    given = await api.get("/livez", headers={"X-Request-Id": "abc-123"})
    assert given.headers["X-Request-ID"] == "abc-123"
    forged = await api.get("/livez", headers={"X-Request-Id": "a b{c}"})
    assert len(forged.headers["X-Request-ID"]) == 16


async def test_unknown_paths_and_methods_are_problems(api: Api) -> None:
    missing = await api.get("/nowhere")
    assert (missing.status, missing.json["code"]) == (404, "not_found")
    for method, path in (
        ("DELETE", "/v1/events"),
        ("PUT", "/v1/admin/outbox"),
        ("GET", "/v1/stripe/webhook"),
    ):
        answer = await api.call(method, path)
        assert (answer.status, answer.json["code"]) == (405, "method_not_allowed")
