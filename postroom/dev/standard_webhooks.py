"""Verification as a receiver does it: written apart from what signs, so that each proves the other."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Mapping

TOLERANCE_S = 300


def find_fault(
    headers: Mapping[str, str], body: bytes, *, secrets: Iterable[str], now_s: float
) -> str | None:
    """What is wrong with a webhook's signature. `headers`: names in lower case.

    Returns: None when one of the signatures was made with one of the secrets, less than 5
    minutes away from now.
    """
    message_id, timestamp = headers.get("webhook-id"), headers.get("webhook-timestamp", "")
    if not message_id or not timestamp.isdecimal():
        return "webhook-id or webhook-timestamp is missing"
    if abs(now_s - int(timestamp)) > TOLERANCE_S:
        return "webhook-timestamp is too far from now"
    signed = b".".join((message_id.encode(), timestamp.encode(), body))
    given = [
        signature.removeprefix("v1,").encode()
        for signature in headers.get("webhook-signature", "").split(" ")
        if signature.startswith("v1,")
    ]
    for secret in secrets:
        expected = base64.b64encode(hmac.new(_key(secret), signed, hashlib.sha256).digest())
        if any(hmac.compare_digest(expected, signature) for signature in given):
            return None
    return "no signature fits a secret"


def _key(secret: str) -> bytes:
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise ValueError("a secret is whsec_ and base64") from None
