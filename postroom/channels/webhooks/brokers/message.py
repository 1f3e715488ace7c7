"""What is handed to a broker: the envelope of webhooks, or CloudEvents 1.0; the same on every attempt."""

from __future__ import annotations

from datetime import UTC, datetime
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
_encode = msgspec.json.Encoder().encode


def build_message(claim: Claim, *, format_: str, envelope: bytes, data: bytes) -> BrokerMessage:
    """`envelope`: the body of a webhook; `data`: the JSON in it, compact."""
    message_id = str(claim.message_id)
    headers = {"webhook-id": message_id, "content-type": _JSON}
    if claim.tenant:
        headers["postroom-tenant"] = quote(claim.tenant)
    if claim.ordering_key is not None:
        headers["postroom-ordering-key"] = quote(claim.ordering_key)
    body, attributes = envelope, dict[str, str]()
    if format_ != ENVELOPE:
        attributes = _attributes(claim, message_id)
        body = data
    if format_ == CLOUDEVENTS:
        headers["content-type"] = "application/cloudevents+json"
        body = _encode({**attributes, "datacontenttype": _JSON, "data": msgspec.Raw(data)})
        attributes = {}
    return BrokerMessage(message_id, claim.type, claim.ordering_key, body, headers, attributes)


def _attributes(claim: Claim, message_id: str) -> dict[str, str]:
    created = datetime.fromtimestamp(claim.created_s, UTC).isoformat(timespec="microseconds")
    found = {
        "specversion": "1.0",
        "id": message_id,
        "source": f"postroom/{quote(claim.tenant)}" if claim.tenant else "postroom",
        "type": claim.type,
        "time": created.replace("+00:00", "Z"),
    }
    if claim.ordering_key is not None:
        found["partitionkey"] = claim.ordering_key
    return found
