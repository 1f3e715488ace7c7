"""Endpoints at Stripe become what the settings, routes and handlers want, and stay so."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from postroom.base.clock import SystemClock
from postroom.base.db import Pool
from postroom.base.errors import Unavailable
from postroom.base.stripe_settings import StripeSettings
from postroom.channels.stripe.budget import RequestBudget
from postroom.channels.stripe.client import StripeApi
from postroom.channels.stripe.endpoint_plan import Change, Create, Delete, Plan, Wish, plan_endpoints
from postroom.channels.stripe.endpoints import Made
from postroom.channels.stripe.loader import load_effects
from postroom.channels.stripe.setup import Applied, EndpointSetup, StripeRefused
from postroom.channels.stripe.signature import fingerprint
from postroom.channels.stripe.wishes import wish_of
from postroom.dev.stripe_api import Fault, StripeStandIn
from postroom.dev.stripe_events import snapshot_event
from tests.fixtures.roles import pool_as
from tests.fixtures.stripe import Scene

URL = "https://billing.example.com/v1/stripe/webhook"
PINNED, NEXT = "2025-03-31.basil", "2026-10-28.endive"
ROUTES = """
[[route]]
on = "invoice.paid"
export = { dataset = "invoices" }

[[route]]
on = "v2.core.account[configuration.customer].updated"
export = { dataset = "accounts" }
"""


class Installation:
    """One account's settings and routes, which a test changes between two runs."""

    def __init__(self, pool: Pool, folder: Path, stand_in: StripeStandIn) -> None:
        self.pool = pool
        self.stand_in = stand_in
        self.routes = folder / "routes.toml"
        self.routes.write_text(ROUTES)
        self.settings = StripeSettings(
            api_key=SecretStr("sk_test_setup"),
            api_base=stand_in.url,
            api_version=PINNED,
            webhook_url=URL,
            mirror=("customer",),
            timeout_s=2.0,
        )
        self.kept: list[Made] = []

    def change(self, **settings: Any) -> None:
        self.settings = self.settings.model_copy(update=settings)

    def wish(self, **wish: Any) -> Wish:
        effects = load_effects(routes=self.routes, code=(), checks={})
        return replace(wish_of(self.settings, "self", effects), **wish)

    def keep(self, made: Made) -> None:
        """As an operator does with the line that is printed."""
        self.kept.append(made)
        self.change(webhook_secrets=(*self.settings.webhook_secrets, made.secret))

    async def run(self, *, wait_s: float = 0.0, **wish: Any) -> tuple[Plan, Applied]:
        clock = SystemClock()
        budget = RequestBudget(pool=pool_as(self.pool, "runner"), clock=clock, via="self", per_second=10_000)
        api = StripeApi(self.settings, budget)
        try:
            setup, wished = EndpointSetup(api, clock=clock, wait_s=wait_s), self.wish(**wish)
            plan = plan_endpoints(await setup.look(wished), wished)
            return plan, await setup.apply(plan, wished, self.keep)
        finally:
            await api.close()

    @property
    def kinds(self) -> list[tuple[str, str]]:
        """Version and url of each snapshot endpoint, then those of thin events."""
        endpoints = self.stand_in.endpoints
        return [(each["api_version"], each["url"]) for each in endpoints.named("webhook_endpoint")] + [
            ("thin", each["webhook_endpoint"]["url"]) for each in endpoints.named("v2.core.event_destination")
        ]


@pytest.fixture
async def stand_in() -> AsyncIterator[StripeStandIn]:
    stand_in = StripeStandIn()
    await stand_in.start()
    yield stand_in
    await stand_in.stop()


@pytest.fixture
def here(pool: Pool, tmp_path: Path, stand_in: StripeStandIn) -> Installation:
    return Installation(pool, tmp_path, stand_in)


async def test_endpoints_are_made_with_what_is_needed_and_a_second_run_changes_nothing(
    here: Installation, stand_in: StripeStandIn
) -> None:
    here.change(connect=True)
    plan, applied = await here.run()
    assert (len(applied.done), applied.failed, plan.remarks) == (3, (), ())
    assert here.kinds == [(PINNED, URL), (PINNED, URL), ("thin", URL)]
    own, connect, thin = stand_in.endpoints.kept.values()
    wanted = sorted(["invoice.paid", "customer.created", "customer.deleted", "customer.updated"])
    assert (own["enabled_events"], connect["enabled_events"]) == (wanted, wanted)
    assert thin["enabled_events"] == ["v2.core.account[configuration.customer].updated"]
    assert (own["application"], connect["application"], thin["events_from"]) == (
        *(None, "ca_platform"),
        ["@self", "@accounts"],
    )
    assert [made.secret.get_secret_value() for made in here.kept] == list(stand_in.endpoints.secrets.values())

    changes = len(stand_in.endpoints.changes)
    assert await here.run() == (Plan((), ()), Applied())
    assert len(stand_in.endpoints.changes) == changes


async def test_types_too_few_and_too_many_and_a_disabled_endpoint_are_mended_where_they_are(
    here: Installation, stand_in: StripeStandIn
) -> None:
    await here.run()
    own, _ = stand_in.endpoints.kept.values()
    own["enabled_events"] = ["customer.created", "payout.paid"]
    stand_in.endpoints.disable(own["id"])
    plan, applied = await here.run()
    [step] = plan.steps
    assert isinstance(step, Change)
    assert step.added == ("customer.deleted", "customer.updated", "invoice.paid")
    assert step.removed == ("payout.paid",)
    assert applied.failed == ()
    assert (own["status"], len(own["enabled_events"])) == ("enabled", 4)
    assert (await here.run())[0].steps == ()


async def test_what_somebody_deleted_is_made_anew(here: Installation, stand_in: StripeStandIn) -> None:
    await here.run()
    stand_in.endpoints.remove(next(iter(stand_in.endpoints.kept)))
    plan, _ = await here.run()
    assert [type(step) for step in plan.steps] == [Create]
    assert here.kinds == [(PINNED, URL), ("thin", URL)]


async def test_an_upgrade_stands_beside_and_its_end_deletes_only_what_is_old(
    here: Installation, stand_in: StripeStandIn
) -> None:
    await here.run()
    await here.run(upgrade_to=NEXT)
    assert here.kinds == [(PINNED, URL), (NEXT, f"{URL}?version={NEXT}"), ("thin", URL)]
    assert (await here.run(upgrade_to=NEXT))[0] == Plan((), ())

    [remark] = (await here.run())[0].remarks
    assert (remark.command, NEXT in remark.text) == ("postroom stripe setup --delete-old", True)

    here.change(api_version=NEXT)
    plan, _ = await here.run(delete_old=True)
    assert [type(step) for step in plan.steps] == [Delete]
    assert here.kinds == [(NEXT, f"{URL}?version={NEXT}"), ("thin", URL)]
    assert (await here.run(delete_old=True))[0] == Plan((), ())


async def test_the_only_endpoint_that_receives_is_never_deleted(
    here: Installation, stand_in: StripeStandIn
) -> None:
    """The version was pinned before its endpoint was there, or its secret was not kept."""
    await here.run()
    here.change(api_version=NEXT)
    plan, _ = await here.run(delete_old=True)
    assert [type(step) for step in plan.steps] == [Create]
    assert "does not receive yet" in plan.remarks[0].text

    kept = here.settings.webhook_secrets
    here.change(webhook_secrets=kept[:1])
    plan, _ = await here.run(delete_old=True)
    assert plan.steps == ()
    here.change(webhook_secrets=kept)
    await here.run(delete_old=True)
    assert here.kinds == [(NEXT, f"{URL}?version={NEXT}"), ("thin", URL)]


async def test_a_secret_that_the_settings_lack_is_told_and_replaced_only_when_asked(
    here: Installation, stand_in: StripeStandIn
) -> None:
    here.routes.write_text('[[route]]\non = "invoice.paid"\nexport = { dataset = "invoices" }\n')
    await here.run()
    [old] = stand_in.endpoints.kept
    here.change(webhook_secrets=(SecretStr("whsec_another"),))
    [remark] = (await here.run())[0].remarks
    assert (remark.wrong, remark.command) == (True, "postroom stripe setup --new-secret")

    await here.run(new_secret=True)
    [new] = stand_in.endpoints.kept
    assert (new != old, here.kept[-1].endpoint.id) == (True, new)
    assert stand_in.endpoints.kept[new]["metadata"]["postroom_secret"] == fingerprint(here.kept[-1].secret)
    assert (await here.run())[0] == Plan((), ())


async def test_what_died_between_making_and_keeping_says_so(
    here: Installation, stand_in: StripeStandIn
) -> None:
    def die(made: Made) -> None:
        raise KeyboardInterrupt

    keep, here.keep = here.keep, die  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        await here.run()
    here.keep = keep  # type: ignore[method-assign]
    plan, _ = await here.run()
    assert "setup ended before the secret of own endpoint" in plan.remarks[0].text
    await here.run(new_secret=True)
    assert (await here.run())[0] == Plan((), ())


async def test_a_type_that_stripe_does_not_know_names_the_line_or_is_left_out_for_the_mirror(
    here: Installation, stand_in: StripeStandIn
) -> None:
    stand_in.endpoints.unknown_types |= {"invoice.paid", "customer.updated"}
    _, applied = await here.run()
    [failed] = applied.failed
    assert f"'invoice.paid', which {here.routes}:3 names" in failed
    assert [kind for kind, _ in here.kinds] == ["thin"]

    stand_in.endpoints.unknown_types.remove("invoice.paid")
    await here.run()
    assert stand_in.endpoints.named("webhook_endpoint")[0]["enabled_events"] == [
        *("customer.created", "customer.deleted", "invoice.paid")
    ]
    assert (await here.run())[0] == Plan((), ())
    await here.run(new_secret=True)
    assert (await here.run())[0] == Plan((), ()), "the one that replaces it knows, too"


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("rk_test_none", "lacks the right webhook_read"),
        ("sk_test_gone", "HTTP 401"),
    ],
)
async def test_a_key_without_the_right_is_told_which(
    here: Installation, stand_in: StripeStandIn, key: str, told: str
) -> None:
    stand_in.refused.add("sk_test_gone")
    here.change(api_key=SecretStr(key))
    with pytest.raises(StripeRefused, match=told) as refused:
        await here.run()
    assert refused.value.detail.startswith("POSTROOM_STRIPE__API_KEY")


async def test_a_key_that_may_only_read_changes_nothing_and_names_the_right(
    here: Installation, stand_in: StripeStandIn
) -> None:
    stand_in.rights["rk_test_reads"] = {"webhook_read"}
    here.change(api_key=SecretStr("rk_test_reads"))
    _, applied = await here.run()
    assert applied.done == ()
    assert all("lacks the right webhook_write" in each for each in applied.failed)


async def test_an_account_without_v2_gets_the_others_and_is_told(
    here: Installation, stand_in: StripeStandIn
) -> None:
    stand_in.endpoints.v2 = False
    plan, _ = await here.run()
    [remark] = [each for each in plan.remarks if each.wrong]
    assert remark.text.startswith("thin events:")
    assert here.kinds == [(PINNED, URL)]


async def test_a_key_of_the_other_mode_makes_nothing(here: Installation, stand_in: StripeStandIn) -> None:
    """One whose beginning does not tell its mode: the settings refuse the others."""
    here.change(livemode=True)
    _, applied = await here.run()
    assert all("is a key of test mode" in each for each in applied.failed)
    assert (here.kinds, here.kept) == ([], [])


@pytest.mark.parametrize("version", ["1999-01-01", "2026-99-99.nothing"])
async def test_a_version_that_stripe_does_not_have_is_told_with_its_text(
    here: Installation, stand_in: StripeStandIn, version: str
) -> None:
    stand_in.endpoints.versions = {PINNED}
    _, applied = await here.run(upgrade_to=version)
    assert [version in each and "Invalid API version" in each for each in applied.failed] == [True]
    here.change(api_version=version)
    with pytest.raises(StripeRefused, match=f"Invalid Stripe API version: {version}"):
        await here.run()


async def test_an_outage_is_waited_for_and_the_same_endpoint_is_made_once(
    here: Installation, stand_in: StripeStandIn
) -> None:
    stand_in.fail(Fault.RATE_LIMITED, times=2, after=2, retry_after_s=0)
    await here.run(wait_s=60.0)
    assert here.kinds == [(PINNED, URL), ("thin", URL)]

    stand_in.endpoints.remove(next(iter(stand_in.endpoints.kept)))
    stand_in.fail(Fault.RATE_LIMITED, after=2)
    with pytest.raises(Unavailable, match="Run the same command again"):
        await here.run(wait_s=1.0)
    assert here.kinds == [("thin", URL)]
    stand_in.recover()
    await here.run(wait_s=60.0)
    assert here.kinds == [(PINNED, URL), ("thin", URL)]


async def test_thin_events_of_connected_accounts_need_a_destination_that_is_made_anew(
    here: Installation, stand_in: StripeStandIn
) -> None:
    await here.run()
    here.change(connect=True)
    plan, _ = await here.run()
    assert [(each.wrong, each.command) for each in plan.remarks] == [
        (True, "postroom stripe setup --new-secret")
    ]
    plan, _ = await here.run(new_secret=True)
    assert [step.described()["api_version"] for step in plan.steps] == [PINNED, PINNED, None]
    assert (await here.run())[0] == Plan((), ())


async def test_an_endpoint_whose_answer_was_lost_is_made_once_and_its_secret_kept(
    here: Installation, stand_in: StripeStandIn
) -> None:
    stand_in.endpoints.lost = 1
    await here.run(wait_s=60.0)
    assert here.kinds == [(PINNED, URL), ("thin", URL)]
    assert (await here.run())[0] == Plan((), ())


@pytest.mark.parametrize("first", [0, 1])
async def test_while_two_versions_are_received_exactly_one_acts_in_the_pinned_shape(
    here: Installation, stand_in: StripeStandIn, tmp_path: Path, first: int
) -> None:
    await here.run()
    await here.run(upgrade_to=NEXT)
    stand_in.put({"id": "in_1", "object": "invoice", "shape": PINNED})
    scene = Scene(here.pool, tmp_path, routes=ROUTES, stand_in=stand_in, api_version=PINNED)
    scene.ingest.believe(here.settings)
    old, new = stand_in.endpoints.receiving("invoice.paid")
    try:
        for endpoint in (old, new) if first == 0 else (new, old):
            version = endpoint["api_version"]
            told = {"id": "in_1", "object": "invoice", "shape": version}
            event = {
                **snapshot_event("invoice.paid", told, event_id="evt_1", created=5),
                "api_version": version,
            }
            await scene.receive(event, stand_in.endpoints.secrets[endpoint["id"]])
            await scene.work()
        assert [sent["record"]["shape"] for sent in await scene.sent()] == [PINNED]
    finally:
        await scene.close()
