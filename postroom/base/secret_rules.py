"""What a secret in the settings must look like, decided for all of them in one place."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs, parse_qsl, unquote, urlsplit

PLACEHOLDER: Final = re.compile(r"(whsec_|[rs]k_(live|test)_)?(change|<|\.\.\.)|.*…", re.IGNORECASE)
"""What stands in our examples where a secret belongs."""


@dataclass(frozen=True, slots=True)
class SecretRule:
    """`in_url`: the secret is the password of a URL, which may have none."""

    make: str
    least: int = 16
    prefix: str = ""
    in_url: bool = False
    several: bool = False


DATABASE_URL: Final = "POSTROOM_DATABASE_URL"
_PASSWORD: Final = "for a password: openssl rand -hex 24"  # noqa: S105
RULES: Final[Mapping[str, SecretRule]] = {
    DATABASE_URL: SecretRule(_PASSWORD, least=8, in_url=True),
    "POSTROOM_METRICS_TOKEN": SecretRule("make one: openssl rand -hex 24"),
    "POSTROOM_STRIPE__WEBHOOK_SECRETS": SecretRule(
        "take it from the endpoint in Stripe's dashboard, or: stripe listen --print-secret",
        least=24,
        prefix="whsec_",
        several=True,
    ),
    "POSTROOM_STRIPE__API_KEY": SecretRule("make a restricted key: https://dashboard.stripe.com/apikeys"),
    "POSTROOM_EMAIL__URL": SecretRule("the password is the mail server's", least=4, in_url=True),
    "POSTROOM_EMAIL__UNSUBSCRIBE_SECRETS": SecretRule("make one: openssl rand -hex 24", several=True),
    "POSTROOM_EMAIL__EVENTS_SENDGRID_KEYS": SecretRule(
        "take the verification key from SendGrid's Event Webhook settings", several=True
    ),
    "POSTROOM_EMAIL__EVENTS_MAILGUN_KEYS": SecretRule(
        "take the HTTP webhook signing key from Mailgun's API security page", several=True
    ),
    "POSTROOM_EMAIL__EVENTS_POSTMARK_LOGINS": SecretRule(
        "make one: echo postmark:$(openssl rand -hex 24)", least=24, several=True
    ),
    "POSTROOM_EMAIL__EVENTS_RESEND_SECRETS": SecretRule(
        "take it from the webhook's page at Resend", least=24, prefix="whsec_", several=True
    ),
    "POSTROOM_EMAIL__EVENTS_BREVO_LOGINS": SecretRule(
        "make one: echo brevo:$(openssl rand -hex 24)", least=24, several=True
    ),
    "POSTROOM_EMAIL__BOUNCES_SECRETS": SecretRule("make one: openssl rand -hex 24", several=True),
    "POSTROOM_EMAIL__BOUNCES_URL": SecretRule("the password is the mailbox's", least=4, in_url=True),
    "POSTROOM_ENCRYPTION__KEYS": SecretRule(
        "make one: postroom encryption new-key NAME", least=46, several=True
    ),
    "POSTROOM_EXPORTS__OPTIONS": SecretRule("make a key of the object store", least=1, several=True),
    "POSTROOM_OIDC__CLIENT_SECRET": SecretRule("take it from the client at your provider"),
}


def secret_faults(
    texts: Mapping[str, str],
    *,
    needed: Collection[str],
    prod: bool,
    rules: Mapping[str, SecretRule] = RULES,
) -> Iterator[str]:
    """One line a fault, which names the setting and how to get a secret, and never holds a value.

    Promise: placeholders and wrong beginnings are refused everywhere; missing, empty and short ones in prod.
    """
    for name, rule in rules.items():
        text = texts.get(name)
        if prod and name in needed and not text:
            yield f"{name}: {'needed' if text is None else 'empty'} with POSTROOM_ENV=prod; {rule.make}"
        elif prod and text == "" and not rule.several:
            yield f"{name}: empty; unset it, or {rule.make}"
        elif text and (fault := _fault_of(text, rule, prod=prod)):
            yield f"{name}: {fault}; {rule.make}"


def _fault_of(text: str, rule: SecretRule, *, prod: bool) -> str | None:
    parts = [part.strip() for part in text.split(",") if part.strip()] if rule.several else [text]
    for part in parts:
        secret = _password(part) if rule.in_url else part
        if secret is None:
            continue
        if PLACEHOLDER.match(secret):
            return "a placeholder of an example"
        if not secret.startswith(rule.prefix):
            return f"does not begin with {rule.prefix}"
        if prod and len(secret) < rule.least:
            return f"shorter than {rule.least} characters"
    return None


def _password(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        told = parse_qs(parts.query).get("password")
        password = told[-1] if told else parts.password
    except ValueError:
        return None  # whoever opens it says what is wrong with it
    return unquote(password) if password is not None else None


def without_login(url: str) -> tuple[str, str, list[tuple[str, str]]]:
    """Where a URL leads: host, path and parameters, whoever signs in; nowhere, for what is no URL."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "", "", []
    told = [each for each in parse_qsl(parts.query) if each[0] not in ("user", "password")]
    return parts.netloc.rpartition("@")[2], parts.path, told


def unverified_faults(setting: str, url: str) -> Iterator[str]:
    """One line for each host of `unverified_hosts`."""
    for host in unverified_hosts(url):
        yield (
            f"{setting}: {host} is not local: end it with ?sslmode=verify-full&sslrootcert=FILE, "
            "or export POSTROOM_DATABASE_UNVERIFIED=true where the network between is yours alone"
        )


def unverified_hosts(url: str) -> list[str]:
    """The database's hosts that are reached over a network without `sslmode=verify-full`."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return []
    query = parse_qs(parts.query)
    if (query.get("sslmode") or [os.environ.get("PGSSLMODE", "")])[-1] == "verify-full":
        return []
    named = parts.netloc.rpartition("@")[2] or (query.get("host") or [os.environ.get("PGHOST", "")])[-1]
    return [host for each in named.split(",") if not is_local(host := _host(unquote(each)))]


def is_local(host: str) -> bool:
    """A socket's folder, or an address that no other machine reaches. Names are not resolved."""
    if host in ("", "localhost") or host.startswith("/"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _host(address: str) -> str:
    """Without its port."""
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address if address.startswith("/") or address.count(":") > 1 else address.partition(":")[0]
