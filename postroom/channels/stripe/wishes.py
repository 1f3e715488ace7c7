"""From the settings, routes and handlers to the endpoints that one account should have at Stripe."""

from __future__ import annotations

from postroom.base.stripe_settings import StripeSettings
from postroom.channels.stripe.effects import Effects
from postroom.channels.stripe.endpoint_plan import Wish
from postroom.channels.stripe.signature import fingerprint
from postroom.channels.stripe.wanted import wanted_types


def wish_of(
    stripe: StripeSettings,
    via: str,
    effects: Effects,
    *,
    upgrade_to: str | None = None,
    delete_old: bool = False,
    new_secret: bool = False,
) -> Wish:
    """`via`: an account that the settings have. Errors: `InvalidInput`, as `wanted_types`."""
    account = stripe.by_name()[via]
    return Wish(
        via=via,
        url=stripe.webhook_url,
        api_version=account.api_version,
        live=account.live,
        connect=account.connect,
        types=wanted_types(effects, stripe.mirror),
        secrets=frozenset(map(fingerprint, account.webhook_secrets)),
        upgrade_to=upgrade_to,
        delete_old=delete_old,
        new_secret=new_secret,
    )
