"""What each provider's body says, in one form. Pure; kinds that nobody asked for are left out.

Each is after the provider's own documentation, which its function names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from postroom.base import json
from postroom.base.errors import InvalidInput
from postroom.channels.email.events.model import Event, Kind, Provider, our_id

METADATA: Final = "postroom"
"""The name under which a provider hands our id back."""
EVENTS_MAX: Final = 5_000


def parse(provider: Provider, body: bytes) -> list[Event]:
    """Errors: `InvalidInput` for what is no JSON, or not in the provider's form."""
    found: list[Event] = []
    try:
        for event in _PARSERS[provider](json.decode(body)):
            if not all(isinstance(text, str) for text in (*event.identity, event.recipient, event.reason)):
                raise InvalidInput("a number stands where a text belongs", field="body")
            found.append(event)
            if len(found) > EVENTS_MAX:
                raise InvalidInput(f"more than {EVENTS_MAX} events at once", field="body")
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, OSError) as error:
        raise InvalidInput(f"not in the form of {provider}: {type(error).__name__}", field="body") from None
    return found


def _ses(body: Any) -> Iterator[Event]:
    """https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html

    Event publishing and feedback notifications differ in the name of the type alone.
    """
    type_, mail = body.get("eventType") or body["notificationType"], body["mail"]
    found = _SES.get(type_)
    if found is None:
        return
    kind, part, people = found
    told = body[part]
    if told.get("complaintFeedbackType") == "not-spam":
        return
    headers = {each["name"].lower(): each["value"] for each in mail.get("headers", [])}
    message_id = our_id(headers.get("x-postroom-id"), headers.get("message-id"))
    permanent = told.get("bounceType") == "Permanent"
    for each in told[people]:
        person = {"emailAddress": each} if isinstance(each, str) else each
        words = (person.get("diagnosticCode"), told.get("bounceSubType"), told.get("delayType"))
        reason = next(filter(None, (*words, told.get("complaintFeedbackType"), told.get("smtpResponse"))), "")
        address, known = person["emailAddress"], told.get("feedbackId") or told["timestamp"]
        identity = (mail["messageId"], kind, known, address)
        yield Event(identity, kind, address, message_id, _iso(told["timestamp"]), permanent, reason)


_SES: Final = {
    "Delivery": (Kind.DELIVERED, "delivery", "recipients"),
    "DeliveryDelay": (Kind.DEFERRED, "deliveryDelay", "delayedRecipients"),
    "Bounce": (Kind.BOUNCED, "bounce", "bouncedRecipients"),
    "Complaint": (Kind.COMPLAINED, "complaint", "complainedRecipients"),
}


def _sendgrid(body: Any) -> Iterator[Event]:
    """https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event

    A `bounce` of the type `blocked` is a refusal of today; `dropped` is what SendGrid did not even try.
    """
    for each in _each(body):
        kind = _SENDGRID.get(each["event"])
        if kind is not None:
            yield Event(
                (each["sg_event_id"],),
                kind,
                each["email"],
                our_id(each.get(METADATA), each.get("smtp-id")),
                _unix(each["timestamp"]),
                each["event"] == "bounce" and each.get("type") != "blocked",
                each.get("reason") or each.get("response") or "",
            )


_SENDGRID: Final = {
    "delivered": Kind.DELIVERED,
    "deferred": Kind.DEFERRED,
    "bounce": Kind.BOUNCED,
    "dropped": Kind.BOUNCED,
    "spamreport": Kind.COMPLAINED,
    "unsubscribe": Kind.UNSUBSCRIBED,
    "group_unsubscribe": Kind.UNSUBSCRIBED,
}


def _mailgun(body: Any) -> Iterator[Event]:
    """https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/webhook-payloads

    `failed` and permanent is also what Mailgun gave up; the address is no good where the reason is a bounce.
    The signature covers no body, but its token is used once: the event is known by it.
    """
    data = body["event-data"]
    name = f"failed {data.get('severity')}" if data["event"] == "failed" else data["event"]
    kind = _MAILGUN.get(name)
    if kind is None:
        return
    status = data.get("delivery-status") or {}
    yield Event(
        (body["signature"]["token"],),
        kind,
        data["recipient"],
        our_id(data["message"]["headers"]["message-id"]),
        _unix(data["timestamp"]),
        kind is Kind.BOUNCED and data.get("reason") in ("bounce", "suppress-bounce"),
        status.get("message") or status.get("description") or data.get("reason") or "",
    )


_MAILGUN: Final = {
    "delivered": Kind.DELIVERED,
    "failed temporary": Kind.DEFERRED,
    "failed permanent": Kind.BOUNCED,
    "complained": Kind.COMPLAINED,
    "unsubscribed": Kind.UNSUBSCRIBED,
}


def _postmark(body: Any) -> Iterator[Event]:
    """https://postmarkapp.com/developer/webhooks/webhooks-overview

    A `SubscriptionChange` that a bounce or complaint caused has its own event beside it.
    """
    record = body["RecordType"]
    name = body.get("Type") if record == "Bounce" else record
    if record == "SubscriptionChange":
        wish = body.get("SuppressSending") and body.get("SuppressionReason") == "ManualSuppression"
        name = "Unsubscribe" if wish and body.get("Origin") == "Recipient" else None
    kind = _POSTMARK.get(name or "")
    if kind is None:
        return
    address = body.get("Email") or body["Recipient"]
    at = body.get("DeliveredAt") or body.get("BouncedAt") or body["ChangedAt"]
    metadata = {key.lower(): value for key, value in (body.get("Metadata") or {}).items()}
    yield Event(
        (str(body.get("ID", "")), body["MessageID"], record, address, at),
        kind,
        address,
        our_id(metadata.get(METADATA)),
        _iso(at),
        name in ("HardBounce", "BadEmailAddress"),
        body.get("Details") or body.get("Description") or "",
    )


_POSTMARK: Final = {
    "Delivery": Kind.DELIVERED,
    "Transient": Kind.DEFERRED,
    "DnsError": Kind.DEFERRED,
    **dict.fromkeys(("HardBounce", "BadEmailAddress", "SoftBounce", "Blocked"), Kind.BOUNCED),
    "SpamComplaint": Kind.COMPLAINED,
    "SpamNotification": Kind.COMPLAINED,
    "Unsubscribe": Kind.UNSUBSCRIBED,
}


def _resend(body: Any) -> Iterator[Event]:
    """https://resend.com/docs/webhooks/event-types

    Of a mail to several it does not say whose event it is: then nobody's.
    """
    kind, data = _RESEND.get(body["type"]), body["data"]
    if kind is None:
        return
    to, bounce = data["to"], data.get("bounce") or {}
    headers = {each["name"].lower(): each["value"] for each in data.get("headers") or []}
    yield Event(
        (data["email_id"], body["type"], body["created_at"]),
        kind,
        to[0] if len(to) == 1 and not data.get("cc") and not data.get("bcc") else "",
        our_id(headers.get("x-postroom-id"), headers.get("message-id"), data.get("message_id")),
        _iso(body["created_at"]),
        bounce.get("type") == "Permanent",
        bounce.get("message") or "",
    )


_RESEND: Final = {
    "email.delivered": Kind.DELIVERED,
    "email.delivery_delayed": Kind.DEFERRED,
    "email.bounced": Kind.BOUNCED,
    "email.complained": Kind.COMPLAINED,
}


def _brevo(body: Any) -> Iterator[Event]:
    """https://developers.brevo.com/docs/transactional-webhooks

    One object, or a list of them for a batched webhook. `id` is the webhook's, not the event's.
    """
    for each in _each(body):
        kind = _BREVO.get(each["event"])
        if kind is None:
            continue
        ts_ms, ts_s = each.get("ts_epoch"), each.get("ts_event")
        at = _unix(ts_ms / 1000 if ts_ms else ts_s) if ts_ms or ts_s else None
        yield Event(
            (each["message-id"], each["event"], each["email"], str(ts_ms or ts_s)),
            kind,
            each["email"],
            our_id(each["message-id"]),
            at,
            each["event"] in ("hard_bounce", "invalid_email"),
            each.get("reason") or "",
        )


_BREVO: Final = {
    "delivered": Kind.DELIVERED,
    "deferred": Kind.DEFERRED,
    **dict.fromkeys(("hard_bounce", "soft_bounce", "invalid_email", "blocked"), Kind.BOUNCED),
    "spam": Kind.COMPLAINED,
    "unsubscribed": Kind.UNSUBSCRIBED,
    "unsubscribe": Kind.UNSUBSCRIBED,
}

_PARSERS: Final[Mapping[Provider, Callable[[Any], Iterator[Event]]]] = {
    Provider.SES: _ses,
    Provider.SENDGRID: _sendgrid,
    Provider.MAILGUN: _mailgun,
    Provider.POSTMARK: _postmark,
    Provider.RESEND: _resend,
    Provider.BREVO: _brevo,
}


def _each(body: Any) -> list[Any]:
    return body if isinstance(body, list) else [body]


def _iso(text: str) -> datetime:
    """A time without a zone is in UTC."""
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _unix(seconds: float) -> datetime:
    return datetime.fromtimestamp(float(seconds), UTC)
