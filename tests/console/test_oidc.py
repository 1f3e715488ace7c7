"""Signing in through an OpenID Connect provider that really runs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from joserfc.jwk import RSAKey
from playwright.async_api import Browser, expect
from pydantic import SecretStr
from yarl import URL

from postroom.base.errors import SettingsInvalid
from postroom.base.oidc_settings import OidcSettings
from postroom.base.settings import Settings
from postroom.console.access.oidc import Handshake, OidcClient
from postroom.console.access.oidc_sign_in import ARRIVALS_MAX, COOKIE
from tests.console.browser import opened
from tests.console.http import Visitor, visitor
from tests.console.oidc_provider import CLIENT_ID, CLIENT_SECRET, Provider, running_provider
from tests.fixtures.api import Answer, Api, running_api


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with running_provider() as running:
        running.claims["groups"] = ["oncall", "people"]
        yield running


@pytest.fixture
async def api(dsn: str, tmp_path: Path, provider: Provider) -> AsyncIterator[Api]:
    oidc = OidcSettings(
        issuer=provider.url,
        client_id=CLIENT_ID,
        client_secret=SecretStr(CLIENT_SECRET),
        scopes={"oncall": ("admin:read", "outbox:replay")},
    )
    async with running_api(dsn, Settings(state_dir=tmp_path, oidc=oidc)) as running:
        yield running


@pytest.fixture
async def guest(api: Api) -> AsyncIterator[Visitor]:
    async with visitor(api) as somebody:
        yield somebody


async def _through(guest: Visitor) -> Answer:
    """To the provider and back, as a browser goes."""
    there = await guest.get("/console/oidc/start?next=/console/jobs")
    assert there.status == 303, there.text
    back = await guest.get(there.headers["Location"])
    return await guest.get(back.headers["Location"])


async def test_somebody_of_a_known_group_is_let_in_with_its_scopes(api: Api, browser: Browser) -> None:
    async with opened(browser) as tab:
        await tab.page.goto(str(api.client._build_url("/console/jobs")))
        await tab.page.get_by_role("link", name="Sign in with single sign-on").click()
        await expect(tab.page.locator("h1")).to_have_text("Jobs")
        await expect(tab.page.locator(".actor")).to_have_text("oidc:ada@example.com")
        assert await tab.page.get_by_role("button", name="Run now").count() == 0
        assert tab.faults == []
    scopes = await api.pool.fetchval("select scopes from postroom.console_session")
    assert scopes == ["admin:read", "outbox:replay"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"nonce": "another"},
        {"aud": "another"},
        {"iss": "https://another.example"},
        {"exp": int(time.time()) - 3_600},
        {"nonce": None},
        {"aud": [CLIENT_ID, "another"]},
        {"aud": [CLIENT_ID, "another"], "azp": "another"},
        {"azp": "another"},
    ],
)
async def test_a_token_that_is_not_for_us_lets_nobody_in(
    provider: Provider, guest: Visitor, wrong: dict[str, Any]
) -> None:
    provider.wrong = wrong
    assert (await _through(guest)).status == 401
    assert (await guest.get("/console/jobs")).status == 303


async def test_a_token_that_somebody_else_signed_lets_nobody_in(provider: Provider, guest: Visitor) -> None:
    provider.signing_key = RSAKey.generate_key(2048, {"kid": "k1"})
    assert (await _through(guest)).status == 401


async def test_somebody_of_no_known_group_is_refused(provider: Provider, guest: Visitor) -> None:
    provider.claims["groups"] = "people"
    answer = await _through(guest)
    assert (answer.status, "ada@example.com is nobody who may read here" in answer.text) == (403, True)


async def test_an_answer_of_another_browsers_sign_in_is_refused(api: Api, guest: Visitor) -> None:
    there = await guest.get("/console/oidc/start")
    back = await guest.get(there.headers["Location"])
    async with visitor(api) as victim:
        assert (await victim.get(back.headers["Location"])).status == 401
        await victim.get("/console/oidc/start")
        assert (await victim.get(back.headers["Location"])).status == 401


def test_scopes_that_do_not_exist_are_refused_at_start(api: Api) -> None:
    settings = OidcSettings(issuer="https://x.example", client_id="c", scopes={"*": ("admin:everything",)})
    with pytest.raises(Exception, match="unknown scope"):
        OidcClient(settings, clock=api.services.clock)
    with pytest.raises(SettingsInvalid):
        OidcClient(OidcSettings(issuer="https://x.example"), clock=api.services.clock)


async def test_a_token_for_several_that_names_us_is_believed(provider: Provider, guest: Visitor) -> None:
    provider.wrong = {"aud": [CLIENT_ID, "another"], "azp": CLIENT_ID}
    assert (await _through(guest)).status == 200


@pytest.mark.parametrize(("retired_keys", "status"), [(400, 200), (2_000, 503)])
async def test_an_answer_that_comes_in_pieces_is_read_whole_up_to_a_limit(
    provider: Provider, guest: Visitor, retired_keys: int, status: int
) -> None:
    provider.retired_keys = retired_keys
    assert (await _through(guest)).status == status


@pytest.mark.parametrize("verified", [False, None, "true"])
async def test_an_address_that_the_provider_has_not_proved_is_nobodys_name(
    api: Api, provider: Provider, guest: Visitor, verified: object
) -> None:
    provider.wrong = {"email_verified": verified}
    assert (await _through(guest)).status == 200
    assert await api.pool.fetchval("select actor from postroom.console_session") == "oidc:1"


async def test_a_sign_in_that_we_did_not_start_costs_no_request(
    api: Api, provider: Provider, guest: Visitor
) -> None:
    forged = msgspec.json.encode(Handshake("s", "n", "v", "/console", time.time())).hex()
    for cookie in ("", forged, f"{forged}.{'0' * 64}", "é.é"):
        guest.client.cookie_jar.update_cookies({COOKIE: cookie}, api.client._build_url("/"))
        assert (await guest.get("/console/oidc/return?code=c&state=s")).status == 401
    assert (provider.discoveries, provider.exchanges) == (0, 0)


async def test_returns_are_limited(provider: Provider, guest: Visitor) -> None:
    there = await guest.get("/console/oidc/start")
    state = URL(there.headers["Location"]).query["state"]
    for _ in range(ARRIVALS_MAX):
        assert (await guest.get(f"/console/oidc/return?code=c&state={state}")).status == 503
    assert (await guest.get(f"/console/oidc/return?code=c&state={state}")).status == 429
    assert provider.exchanges == ARRIVALS_MAX


async def test_a_provider_that_is_down_is_asked_once_for_all(provider: Provider, guest: Visitor) -> None:
    provider.down = True
    answers = await asyncio.gather(*(guest.get("/console/oidc/start") for _ in range(20)))
    assert {answer.status for answer in answers} == {503}
    assert provider.discoveries == 1


async def test_a_new_client_secret_holds_for_the_next_sign_in(
    api: Api, guest: Visitor, provider: Provider
) -> None:
    provider.client_secret = "rotated-client-secret"
    assert (await _through(guest)).status == 503
    api.services.settings.oidc.client_secret = SecretStr(provider.client_secret)
    assert (await _through(guest)).status == 200
