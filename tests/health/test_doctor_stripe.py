"""The doctor asks Stripe about keys and endpoints, and names what mends each fault."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from postroom.base.settings import Environment, Settings
from postroom.base.stripe_settings import StripeSettings
from postroom.channels.stripe.effects import Effects
from postroom.channels.stripe.loader import load_effects
from postroom.dev.stripe_api import Fault, StripeStandIn
from postroom.health import doctor, stripe
from postroom.health.findings import Finding, Level
from postroom.wiring import open_stripe_apis

URL = "https://billing.example.com/v1/stripe/webhook"
PINNED = "2025-03-31.basil"
SETUP = "postroom stripe setup"
KEY = "rk_test_doctor_012345"


class Scene:
    """An installation whose routes name one snapshot and one thin type."""

    def __init__(self, dsn: str, folder: Path, stand_in: StripeStandIn) -> None:
        self.dsn = dsn
        self.folder = folder
        self.stand_in = stand_in
        routes = folder / "routes.toml"
        routes.write_text(
            '[[route]]\non = "invoice.paid"\nexport = { dataset = "a" }\n'
            '[[route]]\non = "v2.core.account.created"\nexport = { dataset = "b" }\n'
        )
        self.effects = load_effects(routes=routes, code=(), checks={})
        stand_in.rights[KEY] = {"webhook_read", "event_read", "invoice_read"}

    def settings(self, **told: Any) -> Settings:
        fields = {
            "api_base": self.stand_in.url,
            "api_key": KEY,
            "webhook_secrets": "whsec_known",
            "api_version": PINNED,
            "webhook_url": URL,
            "mirror": "customer",
            "timeout_s": 2.0,
        }
        stripe = StripeSettings.model_validate({**fields, **told})
        return Settings(state_dir=self.folder, stripe=stripe)

    async def look(self, settings: Settings | None = None) -> list[Finding]:
        settings = settings or self.settings()

        async def loaded() -> Effects:
            return self.effects

        findings = await doctor.diagnose(
            settings, self.dsn, load_effects=loaded, open_stripe=partial(open_stripe_apis, settings, self.dsn)
        )
        return [each for each in findings if each.subject.startswith("stripe")]


@pytest.fixture
def scene(dsn: str, tmp_path: Path, stand_in: StripeStandIn) -> Scene:
    return Scene(dsn, tmp_path, stand_in)


def keep(stand_in: StripeStandIn, kind: str, **told: Any) -> dict[str, Any]:
    """An endpoint that somebody made by hand."""
    endpoint = {
        "id": f"we_{kind}_{len(stand_in.endpoints.kept)}",
        "object": "webhook_endpoint",
        "url": URL,
        "api_version": PINNED,
        "application": None,
        "enabled_events": ["invoice.paid", "customer.created", "customer.deleted", "customer.updated"],
        "livemode": False,
        "status": "enabled",
        "metadata": {},
        **told,
    }
    stand_in.endpoints.kept[endpoint["id"]] = endpoint
    return endpoint


def keep_thin(stand_in: StripeStandIn, **told: Any) -> None:
    thin = {
        "object": "v2.core.event_destination",
        "event_payload": "thin",
        "webhook_endpoint": {"url": URL},
        "enabled_events": ["v2.core.account.created"],
    }
    keep(stand_in, "thin", **thin, **told)


async def test_endpoints_as_they_should_be_are_one_line(scene: Scene) -> None:
    keep(scene.stand_in, "own")
    keep_thin(scene.stand_in)
    found = await scene.look()
    assert {each.level for each in found} == {Level.OK}
    assert found[0].text == f"test mode, version {PINNED}, 2 endpoints lead here"


@pytest.mark.parametrize(
    ("told", "level", "text"),
    [
        ({"status": "disabled"}, Level.ERROR, "is disabled: Stripe sends it nothing"),
        ({"enabled_events": ["customer.created"]}, Level.ERROR, "lacks invoice.paid, customer.deleted"),
        ({"enabled_events": ["invoice.paid"]}, Level.WARNING, "lacks customer.created, customer.deleted"),
        (
            {
                "enabled_events": [
                    *("invoice.paid", "customer.created", "customer.deleted", "customer.updated"),
                    "payout.paid",
                ]
            },
            Level.WARNING,
            "gets payout.paid for nobody",
        ),
        ({"url": "https://elsewhere.example/hook"}, Level.ERROR, f"no own endpoint at Stripe leads to {URL}"),
        ({"api_version": "2024-06-20"}, Level.ERROR, f"leads to {URL} in version {PINNED}"),
        ({"metadata": {"postroom_secret": "0123456789ab"}}, Level.ERROR, "its events are refused"),
    ],
)
async def test_what_is_wrong_with_an_endpoint_names_the_command(
    scene: Scene, told: dict[str, Any], level: Level, text: str
) -> None:
    keep(scene.stand_in, "own", **told)
    keep_thin(scene.stand_in)
    found = await scene.look()
    [finding] = [each for each in found if text in each.text]
    assert finding.level is level
    assert (finding.command or "").startswith(SETUP)


async def test_each_right_that_a_restricted_key_lacks_is_named(scene: Scene) -> None:
    scene.stand_in.rights[KEY] = set()
    [refused] = await scene.look()
    assert (refused.level, "lacks the right webhook_read" in refused.text) == (Level.ERROR, True)

    scene.stand_in.rights[KEY] = {"webhook_read"}
    keep(scene.stand_in, "own")
    keep_thin(scene.stand_in)
    found = await scene.look()
    lacking = [each.text for each in found if each.level is Level.ERROR]
    assert [text.partition("right ")[2] for text in lacking] == ["event_read)", "invoice_read)"]


@pytest.mark.parametrize(
    ("fault", "level", "text"),
    [
        (Fault.UNAUTHORIZED, Level.ERROR, "HTTP 401"),
        (Fault.BAD_VERSION, Level.ERROR, f"Invalid Stripe API version: {PINNED}"),
        (Fault.RATE_LIMITED, Level.WARNING, "HTTP 429"),
        (Fault.SERVER_ERROR, Level.WARNING, "HTTP 500"),
    ],
)
async def test_what_stripe_refuses_is_told_without_a_second_try(
    scene: Scene, fault: Fault, level: Level, text: str
) -> None:
    scene.stand_in.fail(fault)
    [finding] = await scene.look()
    assert (finding.level, text in finding.text) == (level, True)
    assert len(scene.stand_in.requests) == 1


async def test_it_ends_when_stripe_takes_the_request_and_never_answers(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stripe, "TIMEOUT_S", 1.0)
    scene.stand_in.fail(Fault.HANG)
    [finding] = await scene.look(scene.settings(timeout_s=60.0))
    assert (finding.level, finding.text) == (Level.WARNING, "Stripe did not answer within 1 s")


async def test_each_account_is_looked_at_and_an_endpoint_of_the_other_mode_is_told(scene: Scene) -> None:
    keep(scene.stand_in, "own")
    keep_thin(scene.stand_in)
    eu = {"api_key": "sk_other", "webhook_secrets": "whsec_eu", "livemode": True}
    found = await scene.look(scene.settings(accounts={"eu": eu}))
    [refused] = [each for each in found if each.subject == "stripe eu"]
    told = (
        "POSTROOM_STRIPE__ACCOUNTS__EU__API_KEY is a key of test mode, and the account is to be of live mode"
    )
    assert (refused.level, refused.text) == (Level.ERROR, told)


async def test_an_account_without_the_right_for_v2_is_told_beside_the_rest(scene: Scene) -> None:
    scene.stand_in.endpoints.v2 = False
    keep(scene.stand_in, "own")
    found = await scene.look()
    [thin] = [each for each in found if each.level is Level.ERROR]
    assert thin.text.startswith("thin events: Stripe's API answered HTTP 403")


async def test_that_connected_accounts_are_not_compared_is_said(scene: Scene) -> None:
    text = "what webhooks miss of connected accounts is not looked for"
    assert not [each for each in await scene.look() if each.text.startswith(text)]
    assert [each for each in await scene.look(scene.settings(connect=True)) if each.text.startswith(text)]


async def test_in_dev_nobody_is_told_to_make_an_endpoint_who_uses_stripe_listen(scene: Scene) -> None:
    here, scene.effects = scene.settings(webhook_url=None), Effects()
    found = await scene.look(here)
    assert {each.level for each in found} == {Level.OK}
    assert "`stripe listen` needs none" in found[-1].text
    here.env = Environment.PROD
    [told] = [each for each in await scene.look(here) if each.command]
    assert "export POSTROOM_STRIPE__WEBHOOK_URL=" in (told.command or "")
