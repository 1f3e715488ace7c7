"""Each provider's bodies as its documentation shows them, in one form."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from postroom.base.errors import InvalidInput
from postroom.channels.email.events.model import Event, Kind, Provider, our_id
from postroom.channels.email.events.parsers import parse

ID = UUID("0192f1c0-0000-7000-8000-000000000001")
OURS = f"<{ID}@shop.example>"
ANN = "ann@example.com"
AT = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
UNIX = int(AT.timestamp())
ISO = "2026-11-01T12:00:00.000Z"


def read(provider: Provider, body: object) -> list[Event]:
    return parse(provider, json.dumps(body).encode())


def ses(type_: str, part: str, told: dict[str, Any], *, name: str = "eventType") -> dict[str, Any]:
    mail = {"messageId": "m", "headers": [{"name": "X-Postroom-Id", "value": str(ID)}]}
    return {name: type_, "mail": mail, part: {"timestamp": ISO, "feedbackId": "f", **told}}


def sendgrid(event: str, **more: object) -> list[dict[str, Any]]:
    body = {"sg_event_id": "e1", "email": ANN, "timestamp": UNIX, "smtp-id": OURS}
    return [{**body, "event": event, **more}]


def mailgun(event: str, **more: object) -> dict[str, Any]:
    headers = {"message-id": OURS[1:-1]}
    data = {"event": event, "recipient": ANN, "timestamp": UNIX + 0.0, "message": {"headers": headers}}
    return {"signature": {"token": "t"}, "event-data": {**data, **more}}


def postmark(record: str, **more: object) -> dict[str, Any]:
    return {"RecordType": record, "MessageID": "m", "Metadata": {"Postroom": str(ID)}, **more}


def resend(type_: str, **more: object) -> dict[str, Any]:
    headers = [{"name": "X-Postroom-Id", "value": str(ID)}]
    return {
        "type": type_,
        "created_at": ISO,
        "data": {"email_id": "x", "to": [ANN], "headers": headers, **more},
    }


def brevo(event: str, **more: object) -> dict[str, Any]:
    return {"event": event, "email": ANN, "message-id": OURS, "ts_epoch": UNIX * 1000, "id": 7, **more}


BOUNCED = {"bouncedRecipients": [{"emailAddress": ANN, "diagnosticCode": "smtp; 550 5.1.1"}]}
GONE = {"Type": "HardBounce", "ID": 42, "Email": ANN, "BouncedAt": ISO, "Details": "no such user"}
WISH = {"Recipient": ANN, "ChangedAt": ISO, "SuppressSending": True, "Origin": "Recipient"}
CASES: list[tuple[Provider, object, Kind, bool]] = [
    (Provider.SES, ses("Delivery", "delivery", {"recipients": [ANN]}), Kind.DELIVERED, False),
    (
        Provider.SES,
        ses("DeliveryDelay", "deliveryDelay", {"delayedRecipients": [{"emailAddress": ANN}]}),
        Kind.DEFERRED,
        False,
    ),
    (Provider.SES, ses("Bounce", "bounce", {"bounceType": "Permanent", **BOUNCED}), Kind.BOUNCED, True),
    (Provider.SES, ses("Bounce", "bounce", {"bounceType": "Transient", **BOUNCED}), Kind.BOUNCED, False),
    (
        Provider.SES,  # feedback notifications name the type otherwise
        ses(
            "Complaint",
            "complaint",
            {"complainedRecipients": [{"emailAddress": ANN}]},
            name="notificationType",
        ),
        Kind.COMPLAINED,
        False,
    ),
    (Provider.SENDGRID, sendgrid("delivered", response="250 OK"), Kind.DELIVERED, False),
    (Provider.SENDGRID, sendgrid("deferred", response="451 try later"), Kind.DEFERRED, False),
    (Provider.SENDGRID, sendgrid("bounce", type="bounce", reason="550"), Kind.BOUNCED, True),
    (Provider.SENDGRID, sendgrid("bounce", type="blocked", reason="554"), Kind.BOUNCED, False),
    (Provider.SENDGRID, sendgrid("dropped", reason="Bounced Address"), Kind.BOUNCED, False),
    (
        Provider.SENDGRID,
        sendgrid("spamreport", **{"smtp-id": "x", "postroom": str(ID)}),
        Kind.COMPLAINED,
        False,
    ),
    (Provider.SENDGRID, sendgrid("group_unsubscribe"), Kind.UNSUBSCRIBED, False),
    (Provider.MAILGUN, mailgun("delivered"), Kind.DELIVERED, False),
    (Provider.MAILGUN, mailgun("failed", severity="temporary", reason="generic"), Kind.DEFERRED, False),
    (Provider.MAILGUN, mailgun("failed", severity="permanent", reason="bounce"), Kind.BOUNCED, True),
    (Provider.MAILGUN, mailgun("failed", severity="permanent", reason="old"), Kind.BOUNCED, False),
    (Provider.MAILGUN, mailgun("complained"), Kind.COMPLAINED, False),
    (Provider.MAILGUN, mailgun("unsubscribed"), Kind.UNSUBSCRIBED, False),
    (Provider.POSTMARK, postmark("Delivery", Recipient=ANN, DeliveredAt=ISO), Kind.DELIVERED, False),
    (Provider.POSTMARK, postmark("Bounce", **GONE), Kind.BOUNCED, True),
    (Provider.POSTMARK, postmark("Bounce", **(GONE | {"Type": "SoftBounce"})), Kind.BOUNCED, False),
    (Provider.POSTMARK, postmark("Bounce", **(GONE | {"Type": "Transient"})), Kind.DEFERRED, False),
    (Provider.POSTMARK, postmark("SpamComplaint", **GONE), Kind.COMPLAINED, False),
    (
        Provider.POSTMARK,
        postmark("SubscriptionChange", SuppressionReason="ManualSuppression", **WISH),
        Kind.UNSUBSCRIBED,
        False,
    ),
    (Provider.RESEND, resend("email.delivered"), Kind.DELIVERED, False),
    (Provider.RESEND, resend("email.delivery_delayed"), Kind.DEFERRED, False),
    (Provider.RESEND, resend("email.bounced", bounce={"type": "Permanent"}), Kind.BOUNCED, True),
    (Provider.RESEND, resend("email.bounced", bounce={"type": "Transient"}), Kind.BOUNCED, False),
    (Provider.RESEND, resend("email.complained", headers=None, message_id=OURS), Kind.COMPLAINED, False),
    (Provider.BREVO, brevo("delivered"), Kind.DELIVERED, False),
    (Provider.BREVO, [brevo("deferred")], Kind.DEFERRED, False),
    (Provider.BREVO, brevo("hard_bounce", reason="550"), Kind.BOUNCED, True),
    (Provider.BREVO, brevo("soft_bounce"), Kind.BOUNCED, False),
    (Provider.BREVO, brevo("spam"), Kind.COMPLAINED, False),
    (Provider.BREVO, brevo("unsubscribed"), Kind.UNSUBSCRIBED, False),
]
SKIPPED: list[tuple[Provider, object]] = [
    (Provider.SES, ses("Open", "open", {})),
    (Provider.SES, ses("Complaint", "complaint", {"complaintFeedbackType": "not-spam"})),
    (Provider.SENDGRID, sendgrid("open") + sendgrid("click") + sendgrid("processed")),
    (Provider.MAILGUN, mailgun("opened")),
    (Provider.POSTMARK, postmark("Open")),
    (Provider.POSTMARK, postmark("Bounce", Type="AutoResponder")),
    (Provider.POSTMARK, postmark("SubscriptionChange", SuppressionReason="HardBounce", **WISH)),
    (Provider.RESEND, resend("email.opened")),
    (Provider.BREVO, [brevo("unique_opened"), brevo("request")]),
]


@pytest.mark.parametrize(("provider", "body", "kind", "permanent"), CASES)
def test_what_a_provider_says(provider: Provider, body: object, kind: Kind, permanent: bool) -> None:
    [event] = read(provider, body)
    assert (event.kind, event.permanent, event.recipient) == (kind, permanent, ANN)
    assert (event.message_id, event.at) == (ID, AT)
    assert event.suppresses == (permanent or kind is Kind.COMPLAINED)
    assert read(provider, body)[0].id == event.id  # sent again, it is the same event


@pytest.mark.parametrize(("provider", "body"), SKIPPED)
def test_what_nobody_asked_for_is_left_out(provider: Provider, body: object) -> None:
    assert read(provider, body) == []


def test_one_notification_of_ses_may_be_of_several_people() -> None:
    people = {"bouncedRecipients": [{"emailAddress": ANN}, {"emailAddress": "bob@example.com"}]}
    both = read(Provider.SES, ses("Bounce", "bounce", people))
    assert [each.recipient for each in both] == [ANN, "bob@example.com"]
    assert len({each.id for each in both}) == 2


def test_resend_does_not_say_whose_event_of_a_mail_to_several_it_is() -> None:
    [event] = read(Provider.RESEND, resend("email.bounced", to=[ANN, "bob@example.com"]))
    assert event.recipient == ""


@pytest.mark.parametrize("provider", Provider)
@pytest.mark.parametrize("body", [b"", b"[1]", b"{}", b'"x"', b"null", b"\xff", b'{"event": [], "mail": 1}'])
def test_another_form_is_refused_with_words(provider: Provider, body: bytes) -> None:
    with pytest.raises(InvalidInput):
        parse(provider, body)


@pytest.mark.parametrize("text", [None, 7, "", "x", f"x{ID}", f"{ID}0", "<a@b>"])
def test_another_mails_id_is_not_ours(text: object) -> None:
    assert our_id(text) is None
    assert our_id(text, f"<{ID}.2@shop.example>") == ID
