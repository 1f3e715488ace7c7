"""What is handed to a broker: the envelope of webhooks, or CloudEvents 1.0; the same on every attempt."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final
from urllib.parse import quote

import msgspec

from postroom.channels.webhooks.brokers.transport import BrokerMessage
from postroom.outbox.model import Claim

ENVELOPE: Final = "envelope"
CLOUDEVENTS: Final = "cloudevents"
CLOUDEVENTS_BINARY: Final = "cloudevents-binary"
FORMATS: Final = (ENVELOPE, CLOUDEVENTS, CLOUDEVENTS_BINARY)
_JSON: Final = "application/json"
_OF_TENANT: Final = re.compile(r"^-?[0-9]{1,20}:")
_encode = msgspec.json.Encoder().encode
_quoted: Final = lru_cache(1_000)(quote)  # tenants and ordering keys come again and again


def build_message(claim: Claim, *, format_: str, envelope: bytes, data: bytes) -> BrokerMessage:
    """`envelope`: the body of a webhook; `data`: the JSON in it, compact."""
    message_id = str(claim.message_id)
    headers = {"webhook-id": message_id, "content-type": _JSON}
    if claim.tenant:
        headers["postroom-tenant"] = _quoted(claim.tenant)
    key = _published_key(claim)
    if key is not None:
        headers["postroom-ordering-key"] = _quoted(key)
    body, attributes = envelope, dict[str, str]()
    if format_ != ENVELOPE:
        attributes = _attributes(claim, message_id, key)
        body = data
    if format_ == CLOUDEVENTS:
        headers["content-type"] = "application/cloudevents+json"
        body = _encode({**attributes, "datacontenttype": _JSON, "data": msgspec.Raw(data)})
        attributes = {}
    return BrokerMessage(message_id, claim.type, key, body, headers, attributes)


def _published_key(claim: Claim) -> str | None:
    """The ordering key as it was published: in a delivery a number for its tenant stands before it."""
    key = claim.ordering_key
    return _OF_TENANT.sub("", key) if key is not None and claim.tenant else key


def _attributes(claim: Claim, message_id: str, key: str | None) -> dict[str, str]:
    created = datetime.fromtimestamp(claim.created_s, UTC).isoformat(timespec="microseconds")
    found = {
        "specversion": "1.0",
        "id": message_id,
        "source": f"postroom/{_quoted(claim.tenant)}" if claim.tenant else "postroom",
        "type": claim.type,
        "time": created.replace("+00:00", "Z"),
    }
    if key is not None:
        found["partitionkey"] = key
    return found
