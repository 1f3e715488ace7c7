"""Who gets in, how long, and what a form must bring along."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from postroom.admin.tokens import Scope
from postroom.base.db import transaction
from postroom.base.settings import Settings
from postroom.console.access.sign_in import safe_place
from postroom.console.access.sign_in_link import create_sign_in_link
from tests.console.http import Visitor, visitor
from tests.fixtures.api import Api, running_api


@pytest.fixture
async def api(dsn: str, tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(dsn, Settings(state_dir=tmp_path)) as running:
        yield running


@pytest.fixture
async def guest(api: Api) -> AsyncIterator[Visitor]:
    async with visitor(api) as somebody:
        yield somebody


async def _link_path(api: Api) -> str:
    async with transaction(api.services.pool) as conn:
        return (await create_sign_in_link(conn, "http://x/", (Scope.ADMIN_READ,))).removeprefix("http://x")


async def test_a_token_signs_in_and_comes_back_to_where_it_was(api: Api, guest: Visitor) -> None:
    sent = await guest.get("/console/jobs?x=1")
    assert (sent.status, sent.headers["Location"]) == (303, "/console/sign-in?next=%2Fconsole%2Fjobs%3Fx%3D1")
    answer = await guest.sign_in(api.token)
    assert (answer.status, answer.headers["Location"]) == (303, "/console/jobs")
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert (await guest.get("/console/jobs")).status == 200
    kept = await api.services.pool.fetchrow("select * from postroom.console_session")
    assert kept is not None
    assert kept["hash"].hex() not in cookie  # only a hash of it is kept


async def test_a_wrong_token_stays_outside_and_many_must_wait(guest: Visitor) -> None:
    for _ in range(10):
        assert (await guest.sign_in("pr_wrong")).status == 401
    assert (await guest.sign_in("pr_wrong")).status == 429


async def test_a_token_that_may_not_read_stays_outside(api: Api, guest: Visitor) -> None:
    token = await api.make_token(Scope.EVENTS_WRITE)
    assert (await guest.sign_in(token)).status == 403


async def test_a_form_without_the_sessions_token_changes_nothing(api: Api, guest: Visitor) -> None:
    await guest.sign_in(api.token)
    for csrf in ("", "0" * 64, "é"):
        assert (await guest.post("/console/jobs/canary/pause", csrf=csrf)).status == 403
    guest.headers = {"Sec-Fetch-Site": "cross-site"}
    assert (await guest.post("/console/jobs/canary/pause")).status == 403
    guest.headers = {"Origin": "https://evil.example"}
    assert (await guest.post("/console/jobs/canary/pause")).status == 403
    assert (
        await api.services.pool.fetchval("select count(*) from postroom.audit where action like 'job%'") == 0
    )


async def test_what_the_scopes_do_not_allow_is_not_shown_and_refused(api: Api, guest: Visitor) -> None:
    await guest.sign_in(await api.make_token(Scope.ADMIN_READ, name="reader"))
    assert "Run now" not in (await guest.get("/console/jobs")).text
    refused = await guest.post("/console/jobs/canary/run")
    assert refused.status == 403
    assert "jobs:run" in refused.text
    for path in ("/console/dead-letters/start", "/console/circuits/change", "/console/tokens/create"):
        assert (await guest.post(path)).status == 403


async def test_nobody_makes_a_token_that_may_more_than_they_may(api: Api, guest: Visitor) -> None:
    await guest.sign_in(await api.make_token(Scope.ADMIN_READ, Scope.TOKENS_WRITE))
    refused = await guest.post("/console/tokens/create", [("name", "n"), ("scope", "outbox:replay")])
    assert (refused.status, "outbox:replay" in refused.text) == (403, True)
    made = await guest.post("/console/tokens/create", [("name", "n"), ("scope", "admin:read")])
    assert made.status == 200
    assert "shown this once" in made.text


async def test_revoking_the_token_ends_its_sessions(api: Api, guest: Visitor) -> None:
    await guest.sign_in(api.token)
    await api.services.pool.execute("update postroom.token set revoked_at = now()")
    assert (await guest.get("/console/jobs")).status == 303


@pytest.mark.parametrize("column", ["seen_at", "created_at"])
async def test_sessions_end_when_idle_and_when_old(api: Api, guest: Visitor, column: str) -> None:
    await guest.sign_in(api.token)
    hours = {"seen_at": 13, "created_at": 24 * 7 + 1}[column]
    await api.services.pool.execute(
        f"update postroom.console_session set {column} = now() - make_interval(hours => $1)", hours
    )
    assert (await guest.get("/console/jobs")).status == 303


async def test_a_session_slides_on_while_it_is_used(api: Api, guest: Visitor) -> None:
    await guest.sign_in(api.token)
    pool = api.services.pool
    await pool.execute("update postroom.console_session set seen_at = now() - interval '11 hours'")
    assert (await guest.get("/console/jobs")).status == 200
    age = await pool.fetchval(
        "select extract(epoch from now() - seen_at)::float8 from postroom.console_session"
    )
    assert age < 60


async def test_sign_out_everywhere_ends_the_other_browser_too(api: Api, guest: Visitor) -> None:
    await guest.sign_in(api.token)
    async with visitor(api) as other:
        await other.sign_in(api.token)
        await other.post("/console/sign-out")
        assert (await other.get("/console/jobs")).status == 303
        assert (await guest.get("/console/jobs")).status == 200
        await other.sign_in(api.token)
        await guest.post("/console/sign-out-everywhere")
        assert (await other.get("/console/jobs")).status == 303


async def test_the_link_of_postroom_up_signs_in_once(api: Api, guest: Visitor) -> None:
    path = await _link_path(api)
    assert (await guest.get(path)).headers["Location"] == "/console"
    assert (await guest.get("/console/jobs")).status == 200
    async with visitor(api) as second:
        assert (await second.get(path)).status == 401
        late = await _link_path(api)
        await api.services.pool.execute("update postroom.sign_in_link set expires_at = now()")
        assert (await second.get(late)).status == 401
        assert (await second.get("/console/jobs")).status == 303


async def test_in_prod_links_are_refused_and_cookies_are_secure(dsn: str, tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path, env="prod", database_url=dsn, metrics_token="m" * 16)  # type: ignore[arg-type]
    async with running_api(dsn, settings) as api, visitor(api) as somebody:
        assert (await somebody.get(await _link_path(api))).status == 404
        answer = await somebody.post("/console/sign-in", [("token", api.token)])
        assert answer.headers["Set-Cookie"].startswith("__Host-postroom=")
        assert "Secure" in answer.headers["Set-Cookie"]


async def test_every_answer_forbids_what_is_not_ours(api: Api, guest: Visitor) -> None:
    await guest.sign_in(api.token)
    for path in ("/console", "/console/nothing", "/console/messages/0", "/console/sign-in"):
        headers = (await guest.get(path)).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "place",
    [
        "//evil.example",
        "https://evil.example",
        "/console\\evil",
        "/consolex",
        "/console/sign-out",
        "/console\r\nx",
    ],
)
def test_nobody_is_sent_elsewhere(place: str) -> None:
    assert safe_place(place) == "/console"
