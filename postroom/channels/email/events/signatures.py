"""Whether a provider sent this. Each signs in its own way; SES, by SNS, has a module of its own."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key
from pydantic import SecretStr

from postroom.base import json
from postroom.base.errors import InvalidInput
from postroom.channels.email.events.model import ForgedEvent, Provider

AHEAD_S: Final = 300
"""How far a provider's clock may be ahead of ours, or behind."""
AGES_S: Final[Mapping[Provider, int]] = {
    Provider.SENDGRID: 86_400,
    Provider.MAILGUN: 8 * 3_600,
    Provider.RESEND: 0,
    Provider.SES: 3_600,
}
"""For how long each tries again. Only Resend says that it signs each try anew; where that is not said, one
that is refused for its age would be lost, and one that is replayed changes nothing."""

Headers = Mapping[str, str]


def check(provider: Provider, headers: Headers, body: bytes, secrets: SecretStr, now: datetime) -> None:
    """One of the secrets, which are separated by commas, has signed this, not too long ago.

    Errors: `ForgedEvent`.
    """
    if not any(_CHECKS[provider](headers, body, secret, now) for secret in _each(secrets)):
        raise ForgedEvent(f"this is not signed by {provider} with a secret that is set here")


def check_age(provider: Provider, at_s: float, now: datetime) -> None:
    """Errors: `ForgedEvent`."""
    age_s = now.timestamp() - at_s
    if not -AHEAD_S <= age_s <= AGES_S[provider] + AHEAD_S:
        raise ForgedEvent("signed too long ago, or in the future; or the clock here is wrong")


def _each(secrets: SecretStr) -> Iterator[str]:
    return (each for part in secrets.get_secret_value().split(",") if (each := part.strip()))


def _sendgrid(headers: Headers, body: bytes, secret: str, now: datetime) -> bool:
    """ECDSA over timestamp and body. The secret is the verification key of SendGrid's page, no secret."""
    timestamp = headers.get("x-twilio-email-event-webhook-timestamp", "")
    signature = headers.get("x-twilio-email-event-webhook-signature", "")
    try:
        key = load_der_public_key(base64.b64decode(secret))
        if not isinstance(key, EllipticCurvePublicKey):
            return False
        key.verify(base64.b64decode(signature), timestamp.encode() + body, ECDSA(SHA256()))
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    check_age(Provider.SENDGRID, _seconds(timestamp), now)
    return True


def _mailgun(_: Headers, body: bytes, secret: str, now: datetime) -> bool:
    """HMAC over timestamp and token, which stand in the body."""
    try:
        told = json.decode(body)["signature"]
        timestamp, token = str(told["timestamp"]), str(told["token"])
        signatures = (str(told["signature"]), str(told.get("parent-signature", "")))
    except (InvalidInput, KeyError, TypeError, AttributeError):
        return False
    wanted = hmac.new(secret.encode(), f"{timestamp}{token}".encode(), hashlib.sha256).hexdigest()
    if not any(hmac.compare_digest(wanted.encode(), each.encode()) for each in signatures):
        return False
    check_age(Provider.MAILGUN, _seconds(timestamp), now)
    return True


def _resend(headers: Headers, body: bytes, secret: str, now: datetime) -> bool:
    """Standard Webhooks, with the header names of Svix."""
    id_, timestamp = headers.get("svix-id", ""), headers.get("svix-timestamp", "")
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"))
    except ValueError:
        return False
    signed = f"{id_}.{timestamp}.".encode() + body
    wanted = b"v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())
    given = headers.get("svix-signature", "").split()
    if not any(hmac.compare_digest(wanted, each.encode()) for each in given):
        return False
    check_age(Provider.RESEND, _seconds(timestamp), now)
    return True


def _login(headers: Headers, _body: bytes, secret: str, _now: datetime) -> bool:
    """Basic authentication: Postmark and Brevo sign nothing. The secret is `user:password`."""
    wanted = b"Basic " + base64.b64encode(secret.encode())
    return hmac.compare_digest(wanted, headers.get("authorization", "").encode())


def _seconds(text: str) -> float:
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise ForgedEvent("the time of the signature is no Unix time")
    return float(text)


_CHECKS: Final[Mapping[Provider, Callable[[Headers, bytes, str, datetime], bool]]] = {
    Provider.SENDGRID: _sendgrid,
    Provider.MAILGUN: _mailgun,
    Provider.RESEND: _resend,
    Provider.POSTMARK: _login,
    Provider.BREVO: _login,
}
