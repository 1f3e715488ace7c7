"""Settings of Stripe: accounts, each with its secrets, its key and its mode."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, SecretStr, field_validator
from pydantic_settings import NoDecode

from postroom.base.secret_rules import RULES, secret_faults
from postroom.base.setting_forms import of_form
from postroom.base.stripe_account import OWN_ACCOUNT

_SECRETS: Final = "WEBHOOK_SECRETS"
_KEY_MODE: Final = re.compile(r"[a-z]+(?:_org)?_(live|test)_")

AccountName = Annotated[
    str, of_form("[a-z0-9]{1,40}", "a name of letters from a to z and digits, 40 at most")
]
"""Never an id of Stripe's: those have an underscore."""
ApiVersion = Annotated[
    str, of_form(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(\.[a-z]+)?", "a version of the API, such as 2026-10-28.endive")
]
WebhookUrl = Annotated[
    str, of_form(r"https?://[^\s?#@]+", "a URL such as https://hooks.example.com/v1/stripe/webhook")
]


def setting_of(account: str, field: str) -> str:
    """What a setting of an account is called."""
    place = "" if account == OWN_ACCOUNT else f"ACCOUNTS__{account.upper()}__"
    return f"POSTROOM_STRIPE__{place}{field}"


class StripeAccount(BaseModel):
    """A further account of yours, or the other mode of one, under a name of letters and digits. What its
    secrets have signed is processed with its key, also what is of accounts connected to it."""

    model_config = ConfigDict(extra="forbid")

    webhook_secrets: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    """`whsec_…`, comma-separated while one is being rolled. Unset: Stripe is off."""
    api_key: SecretStr | None = None
    """Fetches objects and lists missed events. Without it thin events cannot be processed."""
    livemode: bool | None = None
    """Whether the account is live. Events of the other mode are stored and never acted on. Unset: what the
    API key says, else test mode. In `prod` one of the two must say it."""

    api_version: ApiVersion | None = None
    """The one version in which routes and the mirror have objects, such as `2026-10-28.endive`: what comes in
    another one is fetched anew. Unset: each event's own."""

    connect: bool = False
    """Whether events of accounts that are connected to it are wanted: `postroom stripe setup` then makes an
    endpoint for them, too."""

    ledger: str | None = None
    """Which one has its events, where there are several (`POSTROOM_LEDGERS__…`). Unset: each has those of the
    connected accounts, and else of the customers, that the directory gives it."""

    @property
    def live(self) -> bool:
        """The one mode whose events are acted on."""
        return bool(self.key_live if self.livemode is None else self.livemode)

    @property
    def key_live(self) -> bool | None:
        """The mode that the API key is of (`sk_live_…`, `rk_test_…`); None where it does not say."""
        named = _KEY_MODE.match(self.api_key.get_secret_value()) if self.api_key else None
        return named[1] == "live" if named else None

    @field_validator("webhook_secrets", "mirror", mode="before", check_fields=False)
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value


class StripeSettings(StripeAccount):
    """Stripe events in."""

    model_config = ConfigDict(extra="ignore")

    accounts: dict[AccountName, StripeAccount] = Field(default_factory=dict)
    """Further accounts: `POSTROOM_STRIPE__ACCOUNTS__EU__API_KEY` and so on, see below."""
    webhook_url: WebhookUrl | None = None
    """Where Stripe reaches us: `https://…/v1/stripe/webhook`. For `postroom stripe setup`, which makes the
    endpoints at Stripe; `postroom doctor` compares them."""
    mirror: Annotated[tuple[str, ...], NoDecode] | None = None
    """Types of objects that the mirror has to keep, comma-separated, such as `customer,invoice`: Stripe is
    asked for their events, and for those that routes and handlers name. Unset: for all."""
    grace_days: float = Field(default=7.0, ge=0, le=365)
    """How long a customer keeps the access to what is past due, see `stripe.customer_access`."""
    api_base: str = "https://api.stripe.com"
    """Another address of the API."""
    tolerance_s: int = Field(default=300, ge=1, le=86_400)
    """How old, or how far in the future, a signature may be."""
    body_bytes_max: int = Field(default=1_048_576, ge=1_024)
    """A larger body is answered 413."""
    timeout_s: float = Field(default=10.0, gt=0, le=80)
    """Limit of one call to the API."""
    _of_several: bool = PrivateAttr(default=False)

    @property
    def on(self) -> bool:
        """Whether events of any account are awaited."""
        return any(account.webhook_secrets for account in self.by_name().values())

    def by_name(self) -> Mapping[str, StripeAccount]:
        """All accounts."""
        return {OWN_ACCOUNT: self, **self.accounts}

    def of_ledger(self, ledger: str) -> Self:
        """These settings with the accounts of which this ledger has all events, or some, and no other."""
        has = (None, ledger)
        accounts = {name: each for name, each in self.accounts.items() if each.ledger in has}
        own = {} if self.ledger in has else {"webhook_secrets": (), "api_key": None}
        chosen = self.model_copy(update={"accounts": accounts, **own})
        chosen._of_several = True
        return chosen

    def shared(self, account: str) -> bool:
        """Whether several ledgers have this account's events, each those that the directory gives it."""
        known = self.account(account)
        return self._of_several and known is not None and known.ledger is None

    def account(self, name: str) -> StripeAccount | None:
        return self if name == OWN_ACCOUNT else self.accounts.get(name)


def account_faults(stripe: StripeSettings, *, prod: bool, serves: bool = True) -> Iterator[str]:
    """What is wrong with the accounts: their modes, and secrets that do not tell them apart.

    `serves`: whether events come in here, for which secrets are needed.
    """
    if OWN_ACCOUNT in stripe.accounts:
        yield "POSTROOM_STRIPE__ACCOUNTS__SELF__…: that is the account without a name: POSTROOM_STRIPE__…"
        return
    uses = Counter(s.get_secret_value() for a in stripe.by_name().values() for s in set(a.webhook_secrets))
    for name, account in stripe.by_name().items():
        yield from _mode_faults(name, account, prod=prod)
        if any(uses[secret.get_secret_value()] > 1 for secret in account.webhook_secrets):
            yield f"{setting_of(name, _SECRETS)}: another account has the same secret: whose is its event?"
    for name, account in stripe.accounts.items():
        yield from _secret_faults(name, account, prod=prod, serves=serves)


def _mode_faults(name: str, account: StripeAccount, *, prod: bool) -> Iterator[str]:
    """An installation that does not know its mode acts on test events as if they were money."""
    mode, key = setting_of(name, "LIVEMODE"), setting_of(name, "API_KEY")
    if prod and account.webhook_secrets and account.livemode is None and account.key_live is None:
        yield (
            f"{mode}: needed with POSTROOM_ENV=prod where {key} does not tell the mode "
            "(sk_live_…, rk_test_…); export true, or false to act on test events"
        )
    if None not in (account.livemode, account.key_live) and account.livemode != account.key_live:
        yield (
            f"{key}: a key of {'live' if account.key_live else 'test'} mode contradicts {mode}: "
            "export a key of the other mode, or leave LIVEMODE unset"
        )


def _secret_faults(name: str, account: StripeAccount, *, prod: bool, serves: bool) -> Iterator[str]:
    """Those of the account without a name are judged with all other settings."""
    secrets, key = setting_of(name, _SECRETS), setting_of(name, "API_KEY")
    texts = {}
    if account.webhook_secrets:
        texts[secrets] = ",".join(each.get_secret_value() for each in account.webhook_secrets)
    if account.api_key is not None:
        texts[key] = account.api_key.get_secret_value()
    rules = {
        secrets: RULES[setting_of(OWN_ACCOUNT, _SECRETS)],
        key: RULES[setting_of(OWN_ACCOUNT, "API_KEY")],
    }
    yield from secret_faults(texts, needed={secrets} if serves else (), prod=prod, rules=rules)
