"""What a receiver's answer, or its silence, means for the delivery. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import aiohttp

from postroom.channels.webhooks.client import PrivateAddress
from postroom.outbox.model import Cause, Delivered, Outcome, Rejected, RetryLater, Trip

RETRY_AFTER_MIN_S = 1.0
RETRY_AFTER_MAX_S = 86_400.0
GONE = 410

PRIVATE = Rejected("the url resolves to a private address", code="private_address", cause=Cause.PERMANENT)


def judge_answer(status: int, headers: Mapping[str, str], detail: str, now: datetime) -> Outcome:
    """The outcome of an answer.

    `detail` is kept with the attempt. A refusal by status (3xx, 4xx) says nothing about the
    receiver's health; 5xx does and counts against its breaker. 429, and 503 with a `Retry-After`, speak
    for all that waits for it: the breaker opens at once, for as long as they say. Reasons hold no ids, so
    that dead letters group by them. 410 is final here; parking the endpoint is the adapter's part.
    """
    code = str(status)
    if 200 <= status < 300:
        return Delivered(code=code, detail=detail)
    if 300 <= status < 400:
        reason = f"answered {status}, a redirect, which is not followed"
        return RetryLater(reason, code=code, detail=headers.get("location", "")[:500], trip=Trip.NO)
    if status == GONE:
        return Rejected("answered 410 Gone", code=code, detail=detail)
    wish_s = retry_after_s(headers.get("retry-after"), now) if status in (429, 502, 503, 504) else None
    if status == 429 or (status == 503 and wish_s is not None):
        trip = Trip.NOW
    else:
        trip = Trip.STRIKE if status >= 500 else Trip.NO
    return RetryLater(f"answered {status}", after_s=wish_s, code=code, detail=detail, trip=trip)


def retry_after_s(text: str | None, now: datetime) -> float | None:
    """Seconds from now that a `Retry-After` asks for (seconds or an HTTP date), within 1 s to 24 h.

    Returns: None when there is none, or none that can be read.
    """
    if text is None:
        return None
    try:
        if text.strip().isdecimal():
            wish_s = float(text)
        else:
            date = parsedate_to_datetime(text)
            wish_s = (date.replace(tzinfo=date.tzinfo or UTC) - now).total_seconds()
    except (ValueError, OverflowError):
        return None
    return min(max(wish_s, RETRY_AFTER_MIN_S), RETRY_AFTER_MAX_S) if math.isfinite(wish_s) else None


def judge_failure(error: aiohttp.ClientError | TimeoutError | PrivateAddress) -> Outcome:
    """The outcome when no answer came. Everything here may pass, but for a url that can never work."""
    match error:
        case PrivateAddress():
            return PRIVATE
        case aiohttp.InvalidURL():
            return Rejected("the url cannot be used", code="invalid_url")
        case aiohttp.ClientConnectorDNSError():
            return RetryLater("the host name cannot be resolved", code="dns")
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientSSLError():
            return RetryLater("no trusted TLS connection", code="tls")
        case aiohttp.ConnectionTimeoutError():
            return RetryLater("no connection within the time limit", code="connect_timeout")
        case TimeoutError():
            return RetryLater("no answer within the time limit", code="timeout")
        case aiohttp.ClientConnectorError(os_error=ConnectionRefusedError()):
            return RetryLater("the connection was refused", code="refused")
        case aiohttp.ClientConnectorError():
            return RetryLater("no connection could be made", code="connect")
        case aiohttp.ClientConnectionError():
            return RetryLater("the connection ended without an answer", code="disconnected")
        case aiohttp.ClientResponseError():
            return RetryLater("the answer was not valid HTTP", code="protocol")
        case _:
            return RetryLater("the request failed", code="request")
