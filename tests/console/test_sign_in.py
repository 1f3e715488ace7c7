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
from postroom.encryption.keyring import NO_KEYS
from tests.console.http import FORM, Visitor, visitor
from tests.fixtures.api import Api, running_api


@pytest.fixture
async def api(dsn: str, tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(dsn, Settings(state_dir=tmp_path)) as running:
        yield running


@pytest.fixture
async def guest(api: Api) -> AsyncIterator[Visitor]:
    async with visitor(api) as somebody:
        yield somebody


def prod_settings(dsn: str, tmp_path: Path) -> Settings:
    return Settings(state_dir=tmp_path, env="prod", database_url=dsn, metrics_token="m" * 16)  # type: ignore[arg-type]


async def _link_path(api: Api) -> str:
    async with transaction(api.pool) as conn:
        link = await create_sign_in_link(conn, "http://x/", (Scope.ADMIN_READ,), keyring=NO_KEYS)
    return link.removeprefix("http://x")


async def test_a_token_signs_in_and_comes_back_to_where_it_was(api: Api, guest: Visitor) -> None:
    sent = await guest.get("/console/jobs?x=1")
    assert (sent.status, sent.headers["Location"]) == (303, "/console/sign-in?next=%2Fconsole%2Fjobs%3Fx%3D1")
    answer = await guest.sign_in(api.token)
    assert (answer.status, answer.headers["Location"]) == (303, "/console/jobs")
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert (await guest.get("/console/jobs")).status == 200
    kept = await api.pool.fetchrow("select * from postroom.console_session")
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
    assert await api.pool.fetchval("select count(*) from postroom.audit where action like 'job%'") == 0


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
    await api.pool.execute("update postroom.token set revoked_at = now()")
    assert (await guest.get("/console/jobs")).status == 303


@pytest.mark.parametrize("column", ["seen_at", "created_at"])
async def test_sessions_end_when_idle_and_when_old(api: Api, guest: Visitor, column: str) -> None:
    await guest.sign_in(api.token)
    hours = {"seen_at": 13, "created_at": 24 * 7 + 1}[column]
    await api.pool.execute(
        f"update postroom.console_session set {column} = now() - make_interval(hours => $1)", hours
    )
    assert (await guest.get("/console/jobs")).status == 303


async def test_a_session_slides_on_while_it_is_used(api: Api, guest: Visitor) -> None:
    await guest.sign_in(api.token)
    pool = api.pool
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
        await api.pool.execute("update postroom.sign_in_link set expires_at = now()")
        assert (await second.get(late)).status == 401
        assert (await second.get("/console/jobs")).status == 303


async def test_a_locked_console_has_a_way_in(dsn: str, tmp_path: Path) -> None:
    settings = prod_settings(dsn, tmp_path)
    async with running_api(dsn, settings) as api, visitor(api) as somebody:
        for number in range(10):
            assert (await somebody.sign_in(f"pr_wrong{number}")).status == 401
        locked = await somebody.sign_in(api.token)
        assert locked.status == 429
        assert "postroom token sign-in-link" in locked.text
        answer = await somebody.get(await _link_path(api))
        assert (answer.status, answer.headers["Location"]) == (303, "/console")
        trail = await api.pool.fetch(
            "select action, detail ->> 'link' as link from postroom.audit order by id"
        )
        made, used = trail
        assert (made["action"], used["action"]) == ("console.sign_in_link", "console.sign_in")
        assert made["link"] == used["link"]


async def test_a_token_that_was_good_a_moment_ago_gets_in_past_the_failures_of_others(
    api: Api, guest: Visitor
) -> None:
    assert (await api.get("/v1/admin/tokens")).status == 200
    for number in range(11):
        await guest.sign_in(f"pr_wrong{number}")
    assert (await guest.sign_in(api.token)).status == 303


async def test_in_prod_cookies_are_secure(dsn: str, tmp_path: Path) -> None:
    async with running_api(dsn, prod_settings(dsn, tmp_path)) as api, visitor(api) as somebody:
        answer = await somebody.post("/console/sign-in", [("token", api.token)])
        assert answer.headers["Set-Cookie"].startswith("__Host-postroom=")
        assert "Secure" in answer.headers["Set-Cookie"]


def forwarded(*addresses: str) -> dict[str, str]:
    return {**FORM, "X-Forwarded-For": ", ".join(addresses)}


async def test_behind_a_trusted_proxy_each_caller_is_one(dsn: str, tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path, trusted_proxies="127.0.0.1,10.0.0.0/8")  # type: ignore[arg-type]
    async with running_api(dsn, settings) as api, visitor(api) as somebody:
        for number in range(10):
            # What stands to the left, anybody may have written.
            somebody.headers = forwarded(f"198.51.100.{number}", "203.0.113.1", "10.1.2.3")
            assert (await somebody.sign_in(f"pr_wrong{number}")).status == 401
        assert (await somebody.sign_in("pr_wrong")).status == 429
        somebody.headers = forwarded("203.0.113.2")
        assert (await somebody.sign_in(api.token)).status == 303


async def test_nobody_else_says_where_a_caller_is_from(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    for trusted in ("", "10.0.0.0/8"):
        settings = Settings(state_dir=tmp_path, trusted_proxies=trusted)  # type: ignore[arg-type]
        async with running_api(dsn, settings) as api, visitor(api) as somebody:
            for number in range(10):
                somebody.headers = forwarded(f"198.51.100.{number}")
                assert (await somebody.sign_in(f"pr_wrong{number}")).status == 401
            assert (await somebody.sign_in("pr_wrong")).status == 429


async def test_one_token_is_limited_from_wherever_it_is_tried(dsn: str, tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path, trusted_proxies="127.0.0.1")  # type: ignore[arg-type]
    async with running_api(dsn, settings) as api, visitor(api) as somebody:
        for number in range(10):
            somebody.headers = forwarded(f"198.51.100.{number}")
            assert (await somebody.sign_in("pr_leaked_long_ago")).status == 401
        somebody.headers = forwarded("198.51.100.10")
        assert (await somebody.sign_in("pr_leaked_long_ago")).status == 429
        assert (await somebody.sign_in(api.token)).status == 303


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


async def test_a_session_that_was_ended_must_sign_in_again(api: Api, guest: Visitor) -> None:
    """One that no token stands behind, such as of OpenID Connect."""
    await guest.get(await _link_path(api))
    async with visitor(api) as administrator:
        await administrator.sign_in(api.token)
        listed = (await api.get("/v1/admin/sessions")).json["sessions"]
        assert {each["actor"] for each in listed} == {"console:link", "token:test"}
        [theirs] = [each["id"] for each in listed if each["token_id"] is None]
        assert f"/console/sessions/{theirs}/end" in (await administrator.get("/console/tokens")).text
        await administrator.post(f"/console/sessions/{theirs}/end")
        assert (await administrator.get("/console/jobs")).status == 200
    assert (await guest.get("/console/jobs")).status == 303
    assert len((await api.get("/v1/admin/sessions")).json["sessions"]) == 1
