"""Of each event of Stripe the console says whose it is, of which mode and in which version."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from postroom.base.settings import Settings
from postroom.base.stripe_settings import StripeSettings
from postroom.dev.stripe_events import encode, signed, snapshot_event
from tests.console.http import visitor
from tests.fixtures.api import running_api

STRIPE = StripeSettings.model_validate(
    {
        "webhook_secrets": "whsec_own",
        "accounts": {"eu": {"webhook_secrets": "whsec_eu", "livemode": True}},
    }
)
EVENT = snapshot_event("invoice.paid", {"id": "in_1", "object": "invoice"}, created=5)


@pytest.mark.parametrize(
    ("secret", "told", "account", "mode"),
    [
        ("whsec_own", {"livemode": False}, "self", "test"),
        ("whsec_eu", {"livemode": True, "account": "acct_1"}, "eu/acct_1", "live"),
    ],
)
async def test_account_mode_and_version_are_on_the_list_and_on_the_page(
    dsn: str, tmp_path: Path, *, secret: str, told: dict[str, object], account: str, mode: str
) -> None:
    async with running_api(dsn, Settings(state_dir=tmp_path, stripe=STRIPE)) as api, visitor(api) as guest:
        await guest.sign_in(api.token)
        body = encode({**EVENT, "id": "evt_shown", "api_version": "2025-03-31.basil", **told})
        answer = await api.post("/v1/stripe/webhook", data=body, headers=signed(body, secret))
        assert answer.status == 200
        listed = (await guest.get("/console/stripe")).text
        assert f"{account} {mode} 2025-03-31.basil" in listed
        found = re.search(r'/console/messages/([0-9a-f-]{36})"', listed)
        assert found is not None
        page = (await guest.get(f"/console/messages/{found[1]}")).text
        facts = dict(re.findall(r"<dt>([^<]+)</dt><dd[^>]*>(?:<bdi>)?([^<]*)", page))
        assert (facts["Account"], facts["Mode"], facts["API version"]) == (account, mode, "2025-03-31.basil")
        assert facts["Stripe's event"] == "evt_shown"
