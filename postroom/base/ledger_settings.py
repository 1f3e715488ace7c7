"""Settings of ledgers, where an application with several databases keeps one in each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from postroom.base.secret_rules import DATABASE_URL, RULES, secret_faults, unverified_faults, without_login
from postroom.base.setting_forms import of_form
from postroom.base.stripe_settings import StripeSettings, setting_of

LEDGERS: Final = "POSTROOM_LEDGERS"

LedgerName = Annotated[str, of_form("[a-z0-9]{1,40}", "a name of letters from a to z and digits, 40 at most")]


class LedgerSettings(BaseModel):
    """One of several ledgers, under a name of letters and digits. All processes need the same ones."""

    model_config = ConfigDict(extra="forbid")

    url: SecretStr
    """Its database, as `POSTROOM_DATABASE_URL` would name it, which is unset then."""
    weight: int = Field(default=1, ge=1, le=1_000)
    """Its part, over the sum of all weights, of the tenants that the directory places by their hash."""


def url_setting(ledger: str) -> str:
    return f"{LEDGERS}__{ledger.upper()}__URL"


def ledger_faults(
    ledgers: Mapping[str, LedgerSettings],
    *,
    chosen: str | None,
    database_url: SecretStr | None,
    stripe: StripeSettings,
    mailbox: bool,
    prod: bool,
    unverified: bool,
) -> Iterator[str]:
    """What is wrong with the ledgers, and with what Stripe's accounts say of them."""
    given = {setting_of(name, "LEDGER"): each.ledger for name, each in stripe.by_name().items()}
    for setting, name in {**given, "POSTROOM_LEDGER": chosen}.items():
        if name is not None and name not in ledgers:
            yield f"{setting}: no ledger of that name in {LEDGERS}__…; known: {', '.join(ledgers) or 'none'}"
    if ledgers and database_url is not None:
        yield f"{DATABASE_URL}: beside {LEDGERS}__… nobody would use it; make it one of them"
    if ledgers and mailbox and chosen is None:
        yield (
            f"POSTROOM_EMAIL__BOUNCES_URL: beside {LEDGERS}__… each would take the reports of the others; "
            "give each ledger processes (POSTROOM_LEDGER) with a mailbox of its own"
        )
    names: dict[object, str] = {}
    for ledger, each in ledgers.items():
        setting, url = url_setting(ledger), each.url.get_secret_value()
        yield from secret_faults(
            {setting: url}, needed=(setting,), prod=prod, rules={setting: RULES[DATABASE_URL]}
        )
        if prod and not unverified:
            yield from unverified_faults(setting, url)
        host, path, options = without_login(url)
        other = names.setdefault((host, path, tuple(options)), ledger)
        if other != ledger:
            yield f"{setting}: the same database as {url_setting(other)}; each ledger needs one of its own"
