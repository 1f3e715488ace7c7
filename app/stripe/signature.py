"""Is it from Stripe? Asked first, before anything in the body is looked at."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import SecretStr
from stripe import SignatureVerificationError, WebhookSignature

from app.base.clock import Clock
from app.base.errors import InvalidInput

FINGERPRINT_LENGTH: Final = 12


class SignatureInvalid(InvalidInput):
    """The body was not signed with one of our secrets, or not lately."""

    code = "signature_invalid"
    title = "The Stripe signature does not hold"


@dataclass(frozen=True, slots=True)
class SigningSecret:
    """One secret and the short name it is recorded under."""

    secret: SecretStr
    fingerprint: str


class SignatureVerifier:
    """Checks `Stripe-Signature` against every secret; any `v1` of the header may match.

    Promise: refuses what is older than `tolerance_s` and what is as far in the future.
    """

    def __init__(self, *, secrets: Sequence[SecretStr], tolerance_s: int, clock: Clock) -> None:
        self._secrets = [SigningSecret(secret, fingerprint(secret)) for secret in secrets]
        self._tolerance_s = tolerance_s
        self._clock = clock

    @property
    def configured(self) -> bool:
        return bool(self._secrets)

    def verify(self, body: bytes, header: str | None) -> str:
        """Returns: the fingerprint of the secret that matched. Errors: `SignatureInvalid`."""
        if not header:
            raise SignatureInvalid("the header Stripe-Signature is missing", field="Stripe-Signature")
        if not header.isascii():
            raise SignatureInvalid("the header Stripe-Signature is malformed", field="Stripe-Signature")
        # Only what the signature covers is worth a look: the timestamp is judged after it matched.
        matched = next((s.fingerprint for s in self._secrets if _matches(body, header, s.secret)), None)
        if matched is None:
            raise SignatureInvalid(
                "no signature in the header matches the body under any webhook secret",
                field="Stripe-Signature",
            )
        away_s = self._clock.now().timestamp() - _signed_at(header)
        if abs(away_s) > self._tolerance_s:
            side = "past" if away_s > 0 else "future"
            raise SignatureInvalid(
                f"the timestamp lies more than {self._tolerance_s} s in the {side}", field="Stripe-Signature"
            )
        return matched


def fingerprint(secret: SecretStr) -> str:
    """A short name for a secret that does not give it away."""
    return hashlib.sha256(secret.get_secret_value().encode()).hexdigest()[:FINGERPRINT_LENGTH]


def _matches(body: bytes, header: str, secret: SecretStr) -> bool:
    try:
        # Without a tolerance: the library looks at the past only, and at the machine's clock.
        WebhookSignature.verify_header(body, header, secret.get_secret_value())
    except (SignatureVerificationError, UnicodeDecodeError):
        return False
    return True


def _signed_at(header: str) -> int:
    """The timestamp, split exactly as the library does: another reading would let a second `t=` in."""
    items = [item.split("=", 2) for item in header.split(",")]
    return int(next(item[1] for item in items if item[0] == "t"))
