"""Only what a provider signed is believed, and not for ever."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from postroom.base.email_settings import EmailSettings
from postroom.base.errors import NotFound, SettingsInvalid, Unavailable
from postroom.base.settings import load_settings
from postroom.channels.email.events.intake import EmailEvents
from postroom.channels.email.events.model import Event, ForgedEvent, Provider
from postroom.channels.email.events.signatures import check
from tests.fixtures import email_events as signed
from tests.fixtures.clock import DrivenClock
from tests.fixtures.email_events import SNS_HOST, TOPIC, Amazon, Signed

NOW = datetime(2026, 11, 1, tzinfo=UTC)
ID = "0192f1c0-0000-7000-8000-000000000001"
SENDGRID = [{"event": "delivered", "sg_event_id": "e", "email": "a@b.example", "timestamp": 1, "smtp-id": ID}]
MAILGUN = {
    "event": "delivered",
    "recipient": "a@b.example",
    "timestamp": 1.5,
    "message": {"headers": {"message-id": f"{ID}@shop.example"}},
}
RESEND = {
    "type": "email.delivered",
    "created_at": "2026-11-01T00:00:00.000Z",
    "data": {"email_id": "x", "to": ["a@b.example"], "headers": [{"name": "X-Postroom-Id", "value": ID}]},
}
SES = {
    "eventType": "Delivery",
    "mail": {"messageId": "m", "headers": [{"name": "X-Postroom-Id", "value": ID}]},
    "delivery": {"timestamp": "2026-11-01T00:00:00.000Z", "recipients": ["a@b.example"]},
}
POSTMARK = {
    "RecordType": "Delivery",
    "MessageID": "m",
    "Recipient": "a@b.example",
    "DeliveredAt": "2026-11-01T00:00:00Z",
    "Metadata": {"postroom": ID},
}
BREVO = {"event": "delivered", "email": "a@b.example", "message-id": f"<{ID}@shop.example>", "ts_event": 1}
SIGNING: dict[str, Callable[[datetime], Signed]] = {
    "sendgrid": lambda at: signed.sendgrid(SENDGRID, at),
    "mailgun": lambda at: signed.mailgun(MAILGUN, at),
    "resend": lambda at: signed.resend(RESEND, at),
    "postmark": lambda at: signed.login(POSTMARK),
    "brevo": lambda at: signed.login(BREVO),
}
RETRIED_S = {"sendgrid": 86_400, "mailgun": 28_800, "resend": 0}


@pytest.fixture
async def sns(tmp_path: Path) -> AsyncIterator[Amazon]:
    async with signed.amazon(tmp_path) as here:
        yield here


async def read(
    name: str, request: Signed, settings: EmailSettings | None = None, at: datetime = NOW
) -> list[Event]:
    headers, body = request
    events = EmailEvents(settings=settings or signed.settings(), clock=DrivenClock(at))
    _, found = await events.read(name, {key.lower(): value for key, value in headers.items()}, body)
    return found


@pytest.mark.parametrize("name", SIGNING)
async def test_what_a_provider_signed_is_read(name: str) -> None:
    [event] = await read(name, SIGNING[name](NOW))
    assert (event.kind, event.recipient, str(event.message_id)) == ("delivered", "a@b.example", ID)


@pytest.mark.parametrize("name", SIGNING)
async def test_a_forged_signature_is_refused(name: str) -> None:
    headers, body = SIGNING[name](NOW)
    forged: list[Signed] = [({}, body), ({**headers, **dict.fromkeys(headers, "bWFkZSB1cA==")}, body)]
    if name in ("sendgrid", "resend"):
        forged.append((headers, body.replace(b"a@b", b"x@b")))
    if name == "mailgun":
        forged = [({}, body.replace(b'"signature": "', b'"signature": "0')), ({}, b"[]"), ({}, b"\xff")]
    for each in forged:
        with pytest.raises(ForgedEvent):
            await read(name, each)


def test_a_secret_that_is_none_believes_nobody() -> None:
    for name in SIGNING:
        with pytest.raises(ForgedEvent):
            check(Provider(name), {}, b"", SecretStr("whsec_schlüssel"), NOW)


@pytest.mark.parametrize("name", RETRIED_S)
async def test_an_old_one_is_refused_after_the_last_retry(name: str) -> None:
    request = SIGNING[name](NOW)
    last = NOW + timedelta(seconds=RETRIED_S[name] + 299)
    assert await read(name, request, at=last)
    for wrong in (last + timedelta(seconds=2), NOW - timedelta(seconds=302)):
        with pytest.raises(ForgedEvent, match="too long ago"):
            await read(name, request, at=wrong)


@pytest.mark.parametrize("name", ["ses", *SIGNING, "mandrill", ""])
async def test_who_is_not_set_up_is_not_heard(name: str) -> None:
    request = SIGNING.get(name, SIGNING["brevo"])(NOW)
    with pytest.raises(NotFound):
        await read(name, request, EmailSettings())


def test_sendgrids_own_example_is_believed() -> None:
    """From the tests of Twilio's libraries: a signature that is not of our making."""
    key = (
        "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpV"
        "KS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g=="
    )
    headers = {
        "x-twilio-email-event-webhook-signature": (
            "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM="
        ),
        "x-twilio-email-event-webhook-timestamp": "1600112502",
    }
    body = (
        b'[{"email":"hello@world.com","event":"dropped","reason":"Bounced Address",'
        b'"sg_event_id":"ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA",'
        b'"sg_message_id":"LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0",'
        b'"smtp-id":"<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>","timestamp":1600112492}]\r\n'
    )
    at = datetime.fromtimestamp(1600112502, UTC)
    check(Provider.SENDGRID, headers, body, SecretStr(key), at)
    with pytest.raises(ForgedEvent):
        check(Provider.SENDGRID, headers, body.replace(b"world", b"w0rld"), SecretStr(key), at)


def now() -> datetime:
    return datetime.now(UTC)


async def opened(sns: Amazon, request: Signed, topics: tuple[str, ...] = (TOPIC,)) -> bytes:
    return await sns.sns().open(request[1], topics, now())


@pytest.mark.parametrize("version", ["1", "2"])
async def test_ses_is_believed_in_both_versions_of_snss_signature(sns: Amazon, version: str) -> None:
    here = sns.sns()
    for _ in range(2):
        told = await here.open(sns.notify(SES, now(), version=version, Subject="Mail")[1], (TOPIC,), now())
        assert json.loads(told) == SES
    assert sns.asked == [f"/SimpleNotificationService-{'ab' * 16}.pem"]  # once
    assert await here.open(sns.notify("Successfully validated SNS topic", now())[1], (TOPIC,), now()) == b""


@pytest.mark.parametrize(
    "url",
    [
        "https://sns.eu-west-1.amazonaws.com.evil.example/SimpleNotificationService-{id}.pem",
        "https://evil.example/SimpleNotificationService-{id}.pem",
        "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-{id}.pem",  # not the topic's region
        "https://bucket.s3.eu-west-1.amazonaws.com/SimpleNotificationService-{id}.pem",
        "https://x@sns.eu-west-1.amazonaws.com/SimpleNotificationService-{id}.pem",
        "https://sns.eu-west-1.amazonaws.com:8443/SimpleNotificationService-{id}.pem",
        "http://sns.eu-west-1.amazonaws.com/SimpleNotificationService-{id}.pem",
        "https://sns.eu-west-1.amazonaws.com/mine.pem",
        "https://[sns.eu-west-1.amazonaws.com/SimpleNotificationService-{id}.pem",
        "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-{id}.pem?Action=Publish",
    ],
)
async def test_a_foreign_certificate_is_not_even_fetched(sns: Amazon, url: str) -> None:
    told = json.loads(sns.notify(SES, now())[1]) | {"SigningCertURL": url.format(id="ab" * 16)}
    with pytest.raises(ForgedEvent):
        await opened(sns, ({}, json.dumps(told).encode()))
    assert sns.asked == []


async def test_a_forged_or_old_notification_is_refused(sns: Amazon) -> None:
    good = json.loads(sns.notify(SES, now())[1])
    old = sns.notify(SES, now() - timedelta(seconds=3_902))[1]
    forged = [
        *(good | {"Message": "{}"}, good | {"Signature": "bm8="}, good | {"SignatureVersion": "3"}),
        *(good | {"Timestamp": "2026-01-01T00:00:00.000Z"}, good | {"TopicArn": TOPIC + "2"}),
        *(good | {"Type": "SubscriptionConfirmation"}, {}, [], {"Type": "Notification"}),
    ]
    for body in [old, b"", b"{", *(json.dumps(each).encode() for each in forged)]:
        with pytest.raises(ForgedEvent):
            await opened(sns, ({}, body))
    assert await opened(sns, sns.notify(SES, now() - timedelta(seconds=3_890)))


def test_a_topic_that_is_none_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in ("mail-events", f"{TOPIC}, https://sns.eu-west-1.amazonaws.com", f"{TOPIC}:a-subscription"):
        monkeypatch.setenv("POSTROOM_EMAIL__EVENTS_SES_TOPICS", wrong)
        with pytest.raises(SettingsInvalid, match="POSTROOM_EMAIL__EVENTS_SES_TOPICS"):
            load_settings()
    monkeypatch.setenv("POSTROOM_EMAIL__EVENTS_SES_TOPICS", f"{TOPIC}, {TOPIC}2")
    assert load_settings().email.events_ses_topics == (TOPIC, f"{TOPIC}2")


async def test_a_subscription_is_confirmed_only_to_a_topic_that_is_set(sns: Amazon) -> None:
    with pytest.raises(ForgedEvent, match="EVENTS_SES_TOPICS"):
        await opened(sns, sns.confirm(now(), TopicArn=TOPIC + "-of-others"))
    with pytest.raises(ForgedEvent, match=SNS_HOST):
        await opened(sns, sns.confirm(now(), SubscribeURL="https://evil.example/?Token=abc"))
    assert not any("ConfirmSubscription" in each for each in sns.asked)
    assert await opened(sns, sns.confirm(now())) == b""
    assert "Action=ConfirmSubscription" in sns.asked[-1]


async def test_while_amazon_is_away_sns_is_asked_to_come_again(sns: Amazon) -> None:
    sns.status = 500
    with pytest.raises(Unavailable, match="answered 500"):
        await opened(sns, sns.notify(SES, now()))
    sns.status, sns.pem = 200, b"x" * 70_000
    with pytest.raises(Unavailable, match="65536"):
        await opened(sns, sns.notify(SES, now()))
    sns.pem = b"no certificate"
    with pytest.raises(ForgedEvent):
        await opened(sns, sns.notify(SES, now()))
