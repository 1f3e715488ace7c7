"""Signing in through an OpenID Connect provider that really runs."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import RSAKey
from playwright.async_api import Browser, expect
from pydantic import SecretStr

from postroom.base.errors import SettingsInvalid
from postroom.base.settings import OidcSettings, Settings
from postroom.console.access.oidc import OidcClient
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
    scopes = await api.services.pool.fetchval("select scopes from postroom.console_session")
    assert scopes == ["admin:read", "outbox:replay"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"nonce": "another"},
        {"aud": "another"},
        {"iss": "https://another.example"},
        {"exp": int(time.time()) - 3_600},
        {"nonce": None},
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
