"""A call to Stripe's API as a payload has it: what to do, with which parameters, in whose account."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from postroom.base.errors import InvalidPayload
from postroom.base.stripe_account import OWN_ACCOUNT
from postroom.channels.stripe.event import split_account

METHODS: Final = ("POST", "DELETE")
PATH_MAX: Final = 500
ACCOUNT_MAX: Final = 100
OPTION_NAMES: Final = frozenset(
    {
        *("api_key", "stripe_version", "stripe_account", "stripe_context", "max_network_retries"),
        *("idempotency_key", "content_type", "headers", "base", "self", "method_", "url_"),
    }
)
"""What Stripe's library would take for its own, not for a parameter; Stripe has none of these names."""
KEY_KEPT: Final = {"v1": timedelta(hours=24), "v2": timedelta(days=30)}
"""How long Stripe knows an idempotency key, at least."""
METER_EVENTS: Final = ("/v1/billing/meter_events", "/v2/billing/meter_events")
_MARGIN: Final = timedelta(minutes=10)
_FIELDS: Final = frozenset({"method", "path", "params", "account"})
# No host, no query, no way up: a segment begins with a letter, a digit or an underscore.
_PATH: Final = re.compile(r"/v[12](?:/[A-Za-z0-9_][A-Za-z0-9_.:-]*)+")
_ACCOUNT: Final = re.compile(r"(?:[a-z0-9]{1,40}/)?acct_[A-Za-z0-9]+|[a-z0-9]{1,40}")


@dataclass(frozen=True, slots=True)
class Call:
    """`via`: the account of the settings whose key is used. `connected`: the one connected to it, if any."""

    method: str
    path: str
    params: dict[str, Any]
    account: str
    via: str
    connected: str | None

    @property
    def keyed(self) -> bool:
        """Whether an idempotency key makes a repetition safe; v1 ignores it where something is deleted."""
        return self.method == "POST" or self.path.startswith("/v2/")

    @property
    def window(self) -> timedelta:
        """For how long it may be repeated under its key."""
        return KEY_KEPT[self.path[1:3]] - _MARGIN

    def parameters(self, key: str, published: datetime) -> dict[str, Any]:
        """What is sent, the same each time. A usage counts once, and for when it was published."""
        params = dict(self.params)
        if self.path in METER_EVENTS:
            at = published.astimezone(UTC)
            v1 = self.path.startswith("/v1/")
            params.setdefault("identifier", key)
            params.setdefault("timestamp", int(at.timestamp()) if v1 else at.isoformat())
        return _unset(params) if self.path.startswith("/v1/") else params


def read_call(payload: Mapping[str, Any], accounts: Container[str]) -> Call:
    """Errors: `InvalidPayload` that names the field. `accounts`: those of the settings."""
    if unknown := sorted(payload.keys() - _FIELDS):
        raise InvalidPayload(
            f"unknown field {unknown[0][:100]}; a call has method, path, params, account", field=unknown[0]
        )
    method, path, params = payload.get("method"), payload.get("path"), payload.get("params", {})
    if method not in METHODS:
        raise InvalidPayload(
            f"method is one of {', '.join(METHODS)}: a call changes something", field="method"
        )
    if not isinstance(path, str) or len(path) > PATH_MAX or _PATH.fullmatch(path) is None:
        raise InvalidPayload(
            "path is one below /v1/ or /v2/ of Stripe's API, such as /v1/refunds, with no host and no query",
            field="path",
        )
    if not isinstance(params, dict):
        raise InvalidPayload("params must be a JSON object", field="params")
    if taken := sorted(params.keys() & OPTION_NAMES):
        raise InvalidPayload(f"Stripe has no parameter {taken[0]}", field=f"params.{taken[0]}")
    account = payload.get("account", OWN_ACCOUNT)
    if not isinstance(account, str) or len(account) > ACCOUNT_MAX or _ACCOUNT.fullmatch(account) is None:
        raise InvalidPayload(
            "account is the name of one in the settings, a connected one (acct_…), or both: eu/acct_…",
            field="account",
        )
    via, connected = split_account(account)
    if via not in accounts:
        raise InvalidPayload(f"the settings have no account {via}", field="account")
    return Call(method, path, params, account, via, connected)


def _unset(value: Any) -> Any:
    """A form has no null; an empty text unsets. Stripe's library would leave nulls out."""
    match value:
        case None:
            return ""
        case dict():
            return {name: _unset(inner) for name, inner in value.items()}
        case list():
            return [_unset(inner) for inner in value]
        case _:
            return value
