"""What providers tell over real HTTP: noted once, acted on in the same transaction, and on the timeline."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr

from postroom.base.clock import SystemClock
from postroom.base.db import Pool, transaction
from postroom.base.settings import Settings
from postroom.channels.email.adapter import EmailAdapter
from postroom.channels.email.events.intake import EmailEvents
from postroom.console.view.timeline import moments
from postroom.dev.mailbox import Mailbox
from postroom.outbox.ledger.story import fetch_happenings, fetch_message
from postroom.outbox.model import Message
from tests.fixtures import email_events as signed
from tests.fixtures.api import Answer, Api, running_api
from tests.fixtures.email_events import Amazon, Signed
from tests.fixtures.engine import AdapterEngine

PUBLISH = """
select postroom.publish(channel => 'email', tenant => 'acme', payload => jsonb_build_object(
    'to', 'Ann <ann@example.com>', 'subject', 'Hello', 'text', 'Hi') || $1::jsonb)"""
NOTED = "select provider, kind, permanent, recipient, reason from postroom.email_event order by at, kind"
SUPPRESSED = "select address, reason from postroom.suppression order by address"


@pytest.fixture
async def api(dsn: str, tmp_path: Path) -> AsyncIterator[Api]:
    settings = Settings(state_dir=tmp_path)
    settings.email = signed.settings()
    async with running_api(dsn, settings) as api:
        yield api


async def publish(api: Api, **more: object) -> UUID:
    message_id: UUID = await api.pool.fetchval(PUBLISH, json.dumps(more))
    return message_id


def told(message_id: object, event: str = "bounce", n: int = 1, **more: object) -> dict[str, Any]:
    known = {
        "event": event,
        "sg_event_id": f"e{n}",
        "email": "Ann@Example.com",
        "timestamp": 1_793_534_400 + n,
    }
    return {**known, "postroom": str(message_id), "reason": "550 no <ann@example.com> here", **more}


async def post(api: Api, *events: dict[str, Any]) -> Answer:
    return await send(api, "sendgrid", signed.sendgrid(list(events), datetime.now(UTC)))


async def send(api: Api, provider: str, request: Signed) -> Answer:
    headers, body = request
    return await api.post(f"/v1/email/events/{provider}", headers=headers, data=io.BytesIO(body))


async def rows(api: Api, statement: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await api.pool.fetch(statement)]


async def counted(api: Api) -> dict[str, float]:
    lines = (await api.get("/metrics")).text.splitlines()
    events = [line for line in lines if line.startswith("postroom_email_events_total{")]
    assert len(events) == 7 * 7  # all there from the start
    return {name: float(value) for line in events for name, value in [line.rsplit(" ", 1)] if float(value)}


async def test_a_hard_bounce_suppresses_once_however_often_it_is_told(api: Api) -> None:
    message_id = await publish(api)
    for expected in ({"new": 1, "known": 0, "unmatched": 0}, {"new": 0, "known": 1, "unmatched": 0}):
        answer = await post(api, told(message_id))
        assert (answer.status, answer.json) == (200, expected)
        await api.pool.execute("update postroom.suppression set reason = 'kept: ' || reason")
    reason = "550 no <a***@example.com> here"
    assert await rows(api, NOTED) == [("sendgrid", "bounced", True, "A***@Example.com", reason)]
    [(address, why)] = await rows(api, SUPPRESSED)
    assert (address, why) == ("ann@example.com", f"kept: kept: bounced at sendgrid: {reason}")
    assert await counted(api) == {'postroom_email_events_total{kind="bounced",provider="sendgrid"}': 1}


async def test_a_bounce_that_says_nothing_of_the_address_is_counted_apart(api: Api) -> None:
    await post(api, told(await publish(api), type="blocked"))
    assert await rows(api, SUPPRESSED) == []
    assert await counted(api) == {'postroom_email_events_total{kind="soft_bounced",provider="sendgrid"}': 1}


async def test_a_replayed_bounce_does_not_suppress_whom_an_operator_released(api: Api) -> None:
    event = told(await publish(api))
    await post(api, event)
    await api.pool.execute("delete from postroom.suppression")
    await post(api, event, event)
    assert await rows(api, SUPPRESSED) == []


async def test_event_and_suppression_are_one_transaction(api: Api) -> None:
    """Where the one cannot be, the other is not: the provider sends both again."""
    message_id = await publish(api)
    await api.pool.execute("alter table postroom.suppression add constraint away check (false) not valid")
    assert (await post(api, told(message_id))).status == 500
    assert await rows(api, NOTED) == []
    await api.pool.execute("alter table postroom.suppression drop constraint away")
    assert (await post(api, told(message_id))).json["new"] == 1
    assert len(await rows(api, SUPPRESSED)) == 1


async def test_the_same_events_at_once_are_noted_once(api: Api) -> None:
    ids = [await publish(api) for _ in range(5)]
    events = [told(each, n=n, email=f"ann{n}@example.com") for n, each in enumerate(ids)]
    answers = await asyncio.gather(*(post(api, *events[:: (-1) ** turn]) for turn in range(6)))
    assert sum(answer.json["new"] for answer in answers) == 5
    assert (len(await rows(api, NOTED)), len(await rows(api, SUPPRESSED))) == (5, 5)


async def test_what_suppresses_and_what_does_not(api: Api) -> None:
    message_id = await publish(api)
    kinds = ("delivered", "deferred", "dropped", "open")
    events = [told(message_id, kind, n, email=f"{kind}@example.com") for n, kind in enumerate(kinds)]
    await post(api, *events, told(message_id, "bounce", 8, type="blocked", email="blocked@example.com"))
    assert [row[1] for row in await rows(api, NOTED)] == ["delivered", "deferred", "bounced", "bounced"]
    assert await rows(api, SUPPRESSED) == []
    await post(api, told(message_id, "spamreport", 9, email="complained@example.com", reason=""))
    assert await rows(api, SUPPRESSED) == [("complained@example.com", "complained at sendgrid")]


async def test_who_unsubscribes_at_the_provider_gets_no_more_of_that_category(api: Api) -> None:
    offer, essential = await publish(api, category="offers"), await publish(api)
    await post(api, told(offer, "unsubscribe", 1), told(essential, "unsubscribe", 2, email="bob@example.com"))
    wishes = await rows(api, "select address, tenant, category, message_id from postroom.unsubscribed")
    assert wishes == [("ann@example.com", "acme", "offers", offer)]
    assert [address for address, _ in await rows(api, SUPPRESSED)] == ["bob@example.com"]


async def test_an_event_of_no_mail_of_ours_is_counted_and_changes_nothing(api: Api) -> None:
    webhook = await api.pool.fetchval(
        'select postroom.publish(\'export\', \'{"dataset": "d", "record": {}}\'::jsonb)'
    )
    for n, stranger in enumerate(("0192f1c0-0000-7000-8000-000000000001", "", webhook)):
        answer = await post(api, told(stranger, n=n))
        assert (answer.status, answer.json["unmatched"]) == (200, 1)
    assert (await rows(api, NOTED), await rows(api, SUPPRESSED)) == ([], [])
    assert await counted(api) == {'postroom_email_events_total{kind="unmatched",provider="sendgrid"}': 3}


@pytest.mark.rows_by_hand
async def test_an_event_of_an_erased_mail_brings_no_address_back_into_the_ledger(api: Api) -> None:
    message_id = await publish(api)
    await api.pool.execute("delete from postroom.delivery")
    asked = await api.post("/v1/admin/erasures", json={"email": "ann@example.com"})
    assert asked.status in (200, 202), asked.text
    assert await api.pool.fetchval("select payload from postroom.message") == "{}"
    await post(api, told(message_id, "unsubscribe"))
    assert len(await rows(api, NOTED)) == 1
    story = await api.get(f"/v1/admin/outbox/{message_id}")
    assert "ann@example.com" not in story.text.lower()
    assert [address for address, _ in await rows(api, SUPPRESSED)] == ["ann@example.com"]
    await api.pool.execute("delete from postroom.message")  # as retention does
    assert await rows(api, NOTED) == []


async def test_the_timeline_tells_it(api: Api) -> None:
    message_id = await publish(api)
    await post(
        api, told(message_id, "delivered", 1, reason="", response="250 OK"), told(message_id, "bounce", 2)
    )
    story = (await api.get(f"/v1/admin/outbox/{message_id}")).json
    assert [(each["kind"], each["permanent"]) for each in story["email_events"]] == [
        ("delivered", False),
        ("bounced", True),
    ]
    async with transaction(api.pool) as conn:
        entry = (await fetch_message(conn, message_id)).message
        shown = moments([entry], await fetch_happenings(conn, [entry]), {})
    told_of = [(each.what, each.tone, each.text) for each in shown if each.what.startswith("sendgrid")]
    assert told_of == [
        ("sendgrid: delivered", "good", "A***@Example.com · 250 OK"),
        ("sendgrid: bounced for good", "bad", "A***@Example.com · 550 no <a***@example.com> here"),
    ]


async def test_a_mail_carries_what_its_provider_hands_back(dsn: str, pool: Pool) -> None:
    mailbox = Mailbox()
    await mailbox.start()
    settings = signed.settings().model_copy(update={"url": SecretStr(f"smtp://127.0.0.1:{mailbox.port}")})
    adapter = EmailAdapter(settings=settings, pool=pool, clock=SystemClock())
    engine = await AdapterEngine(dsn, pool, adapter).start()
    payload = {"to": "ann@example.com", "subject": "Hi", "text": "Hi"}
    own = {**payload, "headers": {"X-Smtpapi": "{}"}}
    ids = await engine.publish([Message(channel="email", payload=each) for each in (payload, own)])
    await engine.drain()
    by_id = {mail.message["X-Postroom-Id"]: mail.message for mail in await mailbox.wait_for(2)}
    first, second = (by_id[str(each)] for each in ids)
    assert json.loads(first["X-SMTPAPI"]) == {"unique_args": {"postroom": str(ids[0])}}
    assert first["X-PM-Metadata-postroom"] == str(ids[0])
    assert second.get_all("X-SMTPAPI") == ["{}"]
    await adapter.close()
    await mailbox.close()


async def test_ses_over_http(api: Api, tmp_path: Path) -> None:
    message_id = await publish(api)
    bounce = {
        "eventType": "Bounce",
        "mail": {"messageId": "m", "headers": [{"name": "X-Postroom-Id", "value": str(message_id)}]},
        "bounce": {
            "bounceType": "Permanent",
            "feedbackId": "f",
            "timestamp": "2026-11-01T00:00:00.000Z",
            "bouncedRecipients": [{"emailAddress": "ann@example.com"}],
        },
    }
    async with signed.amazon(tmp_path) as sns:
        await over_amazon(api, sns, bounce)
    assert [address for address, _ in await rows(api, SUPPRESSED)] == ["ann@example.com"]


async def over_amazon(api: Api, sns: Amazon, bounce: dict[str, Any]) -> None:
    context = api.app.state.context
    heard = EmailEvents(settings=context.settings.email, clock=context.clock, sns=sns.sns())
    object.__setattr__(context, "email_events", heard)
    now = datetime.now(UTC)
    answer = await send(api, "ses", sns.confirm(now))
    assert (answer.status, answer.json) == (200, {"new": 0, "known": 0, "unmatched": 0})
    for message in ("1", "2"):  # the same event by two notifications
        answer = await send(api, "ses", sns.notify(bounce, now, MessageId=message))
        assert (answer.status, answer.json["unmatched"]) == (200, 0)
    assert (await send(api, "ses", sns.notify(bounce, now, TopicArn="arn:x"))).status == 401


async def test_what_is_refused(api: Api) -> None:
    headers, body = signed.sendgrid([told(await publish(api))], datetime.now(UTC))
    refused = {
        401: ("sendgrid", ({}, body)),
        404: ("mandrill", (headers, body)),
        400: ("postmark", (signed.login(None)[0], b"{}")),
        413: ("sendgrid", (headers, b" " + b"x" * 1_048_576)),
    }
    for status, (provider, request) in refused.items():
        answer = await send(api, provider, request)
        assert (answer.status, answer.headers["Content-Type"]) == (status, "application/problem+json")
    assert await rows(api, NOTED) == []


async def test_brevo_is_told_429_for_after_503_it_never_comes_again(api: Api) -> None:
    event = {"event": "spam", "email": "a@b.example", "message-id": "x", "ts_event": 1}
    await api.pool.execute("alter table postroom.message rename to away")
    try:
        answer = await send(api, "brevo", signed.login(event))
        assert (answer.status, bool(answer.headers["Retry-After"])) == (429, True)
        postmark = {
            "RecordType": "SpamComplaint",
            "MessageID": "m",
            "Email": "a@b.example",
            "BouncedAt": "2026-11-01",
        }
        assert (await send(api, "postmark", signed.login(postmark))).status == 503
    finally:
        await api.pool.execute("alter table postroom.away rename to message")


async def test_a_secret_that_was_rolled_is_believed_without_a_restart(api: Api) -> None:
    event = {"event": "spam", "email": "a@b.example", "message-id": "x", "ts_event": 1}
    api.services.settings.email.events_brevo_logins = SecretStr("brevo:another one")
    assert (await send(api, "brevo", signed.login(event))).status == 401
    api.services.settings.email.events_brevo_logins = SecretStr(f"brevo:another one,{signed.LOGIN}")
    assert (await send(api, "brevo", signed.login(event))).status == 200


async def test_events_go_out_as_webhooks_once_and_to_whom_the_settings_name(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    message_id = await publish(api)
    await post(api, told(message_id, "delivered"))
    webhooks = "select payload from postroom.message where channel = 'webhook' order by id"
    assert await rows(api, webhooks) == [], "nobody asked for them"
    monkeypatch.setattr(api.services.settings.email, "events_tenant", "internal")
    for _ in range(2):
        await post(api, told(message_id, n=2))
    [(payload,)] = await rows(api, webhooks)
    found = json.loads(payload)
    assert (found["tenant"], found["type"]) == ("internal", "email.bounced")
    assert found["data"].items() >= {
        "message_id": str(message_id), "tenant": "acme", "permanent": True, "recipient": "A***@Example.com"
    }.items()  # fmt: skip
    assert "ann@example.com" not in payload.lower()
