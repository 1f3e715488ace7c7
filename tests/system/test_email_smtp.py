"""Mail over a real SMTP server that misbehaves on demand, with a real ledger behind."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme
from pydantic import SecretStr

from postroom.base import json
from postroom.base.clock import SystemClock
from postroom.base.db import Pool, transaction
from postroom.base.email_settings import EmailSettings
from postroom.base.errors import InvalidPayload, SettingsInvalid, Unavailable
from postroom.channels.email.adapter import EmailAdapter
from postroom.dev.mailbox import AfterData, Mailbox
from postroom.outbox.model import (
    Cause,
    Claim,
    Deferred,
    Delivered,
    Message,
    Rejected,
    RetryLater,
    Suppressed,
    Trip,
    Unknown,
    Wait,
)
from postroom.outbox.publish import publish
from tests.factories.claims import make_claim
from tests.fixtures.roles import pool_as

LOGIN = ("post", "p@ss:wörd/1")
URL_LOGIN = "post:p%40ss%3Aw%C3%B6rd%2F1"
MAIL = {"to": "ann@example.com", "subject": "Hello", "text": "Good day\n.\n..dots\n"}

Publish = Callable[..., Awaitable[Claim]]


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
async def claim_of(pool: Pool) -> Publish:
    """Publish a payload for real; the claim is what the engine would hand over."""

    async def make(payload: dict[str, Any] | str = MAIL, *, attempts: int = 0) -> Claim:
        body = payload if isinstance(payload, dict) else {}
        async with transaction(pool) as conn:
            row = await publish(conn, Message(channel="email", payload=body))
        created_at = await pool.fetchval("select created_at from postroom.message where id = $1", row.id)
        return make_claim(
            message_id=row.id,
            destination="email",
            attempts=attempts,
            correlation_id="order 7",
            payload=payload if isinstance(payload, str) else json.encode(payload),
            created_s=created_at.timestamp(),
        )

    return make


async def open_mailbox(stack: AsyncExitStack, **options: Any) -> Mailbox:
    mailbox = Mailbox(**options)
    await mailbox.start()
    stack.push_async_callback(mailbox.close)
    return mailbox


def open_adapter(stack: AsyncExitStack, pool: Pool, url: str | None, **options: Any) -> EmailAdapter:
    settings = EmailSettings(
        url=SecretStr(url) if url else None,
        **{"from": "Shop <shop@shop.example>", "connections_max": 2, "timeout_s": 5.0, **options},
    )
    adapter = EmailAdapter(settings=settings, pool=pool_as(pool, "runner"), clock=SystemClock())
    stack.push_async_callback(adapter.close)
    return adapter


@pytest.fixture
async def mailbox(stack: AsyncExitStack) -> Mailbox:
    return await open_mailbox(stack)


@pytest.fixture
async def adapter(stack: AsyncExitStack, pool: Pool, mailbox: Mailbox) -> EmailAdapter:
    return open_adapter(stack, pool, f"smtp://127.0.0.1:{mailbox.port}")


@dataclass(frozen=True)
class Certificates:
    """A server's own, and the authority that vouches for it."""

    server: ssl.SSLContext
    ca_file: Path


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return Certificates(context, path)


async def test_a_mail_arrives_with_the_marks_that_make_it_traceable(
    adapter: EmailAdapter, mailbox: Mailbox, claim_of: Publish
) -> None:
    claim = await claim_of()
    outcome = await adapter.deliver(claim)
    assert isinstance(outcome, Delivered)
    assert outcome.code == "250"
    [mail] = mailbox.mails
    assert mail.sender == "shop@shop.example"
    assert mail.recipients == ("ann@example.com",)
    assert mail.message_id == f"<{claim.message_id}@shop.example>"
    assert mail.headers()["X-Postroom-Id"] == str(claim.message_id)
    assert mail.headers()["X-Correlation-Id"] == "order 7"
    assert mail.headers()["From"] == "Shop <shop@shop.example>"
    assert mail.text == MAIL["text"].replace("\n", "\r\n")


async def test_every_attempt_has_the_same_message_id(
    adapter: EmailAdapter, mailbox: Mailbox, claim_of: Publish
) -> None:
    claim = await claim_of()
    mailbox.faults.after_data = AfterData.CLOSE
    assert isinstance(await adapter.deliver(claim), Unknown)
    mailbox.faults.after_data = AfterData.ANSWER
    assert isinstance(await adapter.deliver(claim), Delivered)
    first, second = mailbox.mails
    assert first.message_id == second.message_id


async def test_many_mails_share_few_connections(
    adapter: EmailAdapter, mailbox: Mailbox, claim_of: Publish
) -> None:
    claims = [await claim_of() for _ in range(20)]
    outcomes = await asyncio.gather(*(adapter.deliver(claim) for claim in claims))
    assert all(isinstance(outcome, Delivered) for outcome in outcomes)
    assert len({mail.message_id for mail in mailbox.mails}) == 20
    assert 1 <= mailbox.connections <= 2


async def test_a_connection_the_server_closed_while_idle_costs_nothing(
    adapter: EmailAdapter, mailbox: Mailbox, claim_of: Publish
) -> None:
    assert isinstance(await adapter.deliver(await claim_of()), Delivered)
    mailbox.hang_up()
    mailbox.faults.mails_max = 1  # from now on it ends each session after a mail, too
    for count in (2, 3):
        assert isinstance(await adapter.deliver(await claim_of()), Delivered)
        assert mailbox.connections == count


@pytest.mark.parametrize("scheme", ["smtp+starttls", "smtps"])
async def test_tls_and_login(
    scheme: str, stack: AsyncExitStack, pool: Pool, certificates: Certificates, claim_of: Publish
) -> None:
    mailbox = await open_mailbox(
        stack, host="localhost", tls=certificates.server, implicit_tls=scheme == "smtps", login=LOGIN
    )
    url = f"{scheme}://{URL_LOGIN}@localhost:{mailbox.port}"
    adapter = open_adapter(stack, pool, url, tls_ca=certificates.ca_file)
    assert isinstance(await adapter.deliver(await claim_of()), Delivered)
    await adapter.prove_login()
    assert len(mailbox.mails) == 1


@pytest.mark.parametrize("scheme", ["smtp+starttls", "smtps"])
async def test_a_certificate_nobody_vouches_for_is_our_fault_and_no_mail_goes_out(
    scheme: str, stack: AsyncExitStack, pool: Pool, certificates: Certificates, claim_of: Publish
) -> None:
    mailbox = await open_mailbox(
        stack, host="localhost", tls=certificates.server, implicit_tls=scheme == "smtps"
    )
    adapter = open_adapter(stack, pool, f"{scheme}://localhost:{mailbox.port}")
    outcome = await adapter.deliver(await claim_of())
    assert isinstance(outcome, RetryLater)
    assert (outcome.code, outcome.cause, outcome.trip) == ("certificate", Cause.OURS, Trip.NOW)
    assert not mailbox.mails


async def test_a_server_without_starttls_gets_no_mail_in_the_clear(
    stack: AsyncExitStack, pool: Pool, mailbox: Mailbox, claim_of: Publish
) -> None:
    adapter = open_adapter(stack, pool, f"smtp+starttls://127.0.0.1:{mailbox.port}")
    outcome = await adapter.deliver(await claim_of())
    assert isinstance(outcome, RetryLater)
    assert (outcome.code, outcome.cause, outcome.trip) == ("unsupported", Cause.OURS, Trip.NOW)
    assert not mailbox.mails


async def test_a_wrong_login_is_our_fault_and_opens_the_breaker_until_it_is_mended(
    stack: AsyncExitStack, pool: Pool, claim_of: Publish
) -> None:
    mailbox = await open_mailbox(stack, login=LOGIN)
    adapter = open_adapter(stack, pool, f"smtp://post:old@127.0.0.1:{mailbox.port}")
    outcome = await adapter.deliver(await claim_of())
    assert isinstance(outcome, RetryLater)
    assert (outcome.code, outcome.cause, outcome.trip) == ("535", Cause.OURS, Trip.NOW)
    with pytest.raises(Unavailable, match="refused the login: 535"):
        await adapter.prove_login()
    mailbox.login = ("post", "old")
    await adapter.prove_login()
    assert isinstance(await adapter.deliver(await claim_of()), Delivered)


async def test_a_server_that_wants_a_login_we_do_not_have_blames_nobody(
    stack: AsyncExitStack, pool: Pool, claim_of: Publish
) -> None:
    mailbox = await open_mailbox(stack, login=LOGIN)
    adapter = open_adapter(stack, pool, f"smtp://127.0.0.1:{mailbox.port}")
    outcome = await adapter.deliver(await claim_of())
    assert isinstance(outcome, RetryLater)
    assert (outcome.code, outcome.cause, outcome.trip) == ("530", Cause.OURS, Trip.NOW)


async def test_nobody_listening_is_a_strike(
    stack: AsyncExitStack, pool: Pool, mailbox: Mailbox, claim_of: Publish
) -> None:
    adapter = open_adapter(stack, pool, f"smtp://127.0.0.1:{mailbox.port}")
    await mailbox.close()
    outcome = await adapter.deliver(await claim_of())
    assert isinstance(outcome, RetryLater)
    assert (outcome.code, outcome.cause, outcome.trip) == ("connection", Cause.PASSING, Trip.STRIKE)
    with pytest.raises(Unavailable, match="could not be reached"):
        await adapter.prove_login()


async def test_one_of_three_refused_for_good_is_told_and_the_others_are_mailed_once(
    adapter: EmailAdapter, mailbox: Mailbox, claim_of: Publish
) -> None:
    mailbox.faults.refuse["gone@example.com"] = "550 5.1.1 no such user <gone@example.com>"
    claim = await claim_of({**MAIL, "to": ["ann@example.com", "gone@example.com"], "bcc": "bob@example.com"})
    outcome = await adapter.deliver(claim)
    assert isinstance(outcome, Rejected)
    assert outcome.cause is Cause.PERMANENT
    assert outcome.reason == "some recipients of several: the mail server refused the recipient: 550 5.1.1"
    assert outcome.detail == "5.1.1 no such user <g***@example.com>"
    [mail] = mailbox.mails
    assert mail.recipients == ("ann@example.com", "bob@example.com")
    assert b"bob@" not in mail.content

    mailbox.faults.refuse.clear()  # replayed after the mailbox was made
    assert isinstance(await adapter.deliver(claim), Delivered)
    assert mailbox.mails[-1].recipients == ("gone@example.com",)
    assert len(mailbox.mails) == 2


async def test_a_greylisted_recipient_is_tried_again_without_mailing_the_others_twice(
    adapter: EmailAdapter, mailbox: Mailbox, claim_of: Publish
) -> None:
    mailbox.faults.refuse["slow@example.com"] = "451 4.7.1 come back later"
    claim = await claim_of({**MAIL, "to": ["ann@example.com", "slow@example.com"]})
    first = await adapter.deliver(claim)
    assert isinstance(first, RetryLater)
    assert first.trip is Trip.NO
    mailbox.faults.refuse.clear()
    assert isinstance(await adapter.deliver(claim), Delivered)
    assert [mail.recipients for mail in mailbox.mails] == [("ann@example.com",), ("slow@example.com",)]
    assert isinstance(await adapter.deliver(claim), Delivered)


async def test_greylisting_of_all_is_no_strike_and_keeps_the_connection(
    adapter: EmailAdapter, mailbox: Mailbox, claim_of: Publish
) -> None:
    mailbox.faults.greylist = True
    outcome = await adapter.deliver(claim := await claim_of())
    assert isinstance(outcome, RetryLater)
    assert (outcome.code, outcome.trip) == ("451", Trip.NO)
    assert isinstance(await adapter.deliver(claim), Delivered)
    assert mailbox.connections == 1


@pytest.mark.parametrize("after", [AfterData.CLOSE, AfterData.HANG])
async def test_silence_after_data_is_unknown(
    after: AfterData, stack: AsyncExitStack, pool: Pool, mailbox: Mailbox, claim_of: Publish
) -> None:
    mailbox.faults.after_data = after
    adapter = open_adapter(stack, pool, f"smtp://127.0.0.1:{mailbox.port}", timeout_s=0.5)
    outcome = await adapter.deliver(await claim_of())
    assert isinstance(outcome, Unknown)
    assert outcome.code == {AfterData.CLOSE: "connection", AfterData.HANG: "timeout"}[after]
    assert len(mailbox.mails) == 1


async def test_a_refusal_after_data_is_an_answer_and_not_unknown(
    adapter: EmailAdapter, mailbox: Mailbox, claim_of: Publish
) -> None:
    mailbox.faults.data_answer = "554 5.7.1 spam"
    outcome = await adapter.deliver(await claim_of())
    assert isinstance(outcome, Rejected)
    assert outcome.cause is Cause.OURS
    mailbox.faults.data_answer = "452 4.3.1 disk full"
    again = await adapter.deliver(await claim_of())
    assert isinstance(again, RetryLater)
    assert again.trip is Trip.STRIKE


async def test_busy_is_a_strike(adapter: EmailAdapter, mailbox: Mailbox, claim_of: Publish) -> None:
    mailbox.faults.busy = True
    outcome = await adapter.deliver(await claim_of())
    assert isinstance(outcome, RetryLater)
    assert (outcome.code, outcome.trip) == ("421", Trip.STRIKE)


async def test_a_hostile_subject_from_data_opens_no_header(
    adapter: EmailAdapter, mailbox: Mailbox, claim_of: Publish
) -> None:
    name = "x\r\nBcc: eve@example.com\r\n\r\n<script>alert(1)</script>"
    claim = await claim_of(
        {"to": "ann@example.com", "template": "welcome", "data": {"object": {"name": name}}}
    )
    assert isinstance(await adapter.deliver(claim), Delivered)
    [mail] = mailbox.mails
    assert mail.recipients == ("ann@example.com",)
    assert "Bcc" not in mail.headers()
    assert mail.subject == "Welcome, x Bcc: eve@example.com <script>alert(1)</script>"
    assert mail.html is not None
    assert "<script>" not in mail.html
    assert "&lt;script&gt;" in mail.html


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (
            {"to": "ann@example.com\r\nBcc: eve@example.com", "subject": "s", "text": "t"},
            "to holds a line break",
        ),
        ({"to": "ann@example.com", "subject": "a\nBcc: x", "text": "t"}, "subject holds a line break"),
        ("[1]", "payload: the payload is no JSON object"),
        ({"to": "ann@example.com", "template": "nope"}, "template 'nope' is unknown"),
        (
            {"to": "ann@example.com", "template": "receipt", "data": {}},
            "template receipt: receipt.subject, line 2: 'object' is undefined",
        ),
    ],
)
async def test_what_sql_published_wrongly_dies_with_its_reason(
    payload: Any, reason: str, adapter: EmailAdapter, mailbox: Mailbox, claim_of: Publish
) -> None:
    outcome = await adapter.deliver(await claim_of(payload))
    assert isinstance(outcome, Rejected)
    assert outcome.reason.startswith(reason)
    assert not mailbox.mails
    assert mailbox.connections == 0


async def test_suppressed_addresses_are_left_out_and_a_mail_to_nobody_else_is_not_sent(
    adapter: EmailAdapter, mailbox: Mailbox, pool: Pool, claim_of: Publish
) -> None:
    await pool.execute("insert into postroom.suppression values ('ann@example.com', 'asked us to stop')")
    both = await adapter.deliver(await claim_of({**MAIL, "to": ["Ann@Example.com", "bob@example.com"]}))
    assert isinstance(both, Delivered)
    assert "; suppressed and left out, 1 of 2: A***@example.com (asked us to stop)" in str(both.detail)
    assert mailbox.mails[0].recipients == ("bob@example.com",)
    only = await adapter.deliver(await claim_of())
    assert only == Suppressed("every recipient is suppressed: asked us to stop")
    assert len(mailbox.mails) == 1


async def test_an_address_outside_ascii_needs_and_uses_smtputf8(
    adapter: EmailAdapter, mailbox: Mailbox, claim_of: Publish
) -> None:
    claim = await claim_of({**MAIL, "to": "jörg@exämple.example"})
    assert isinstance(await adapter.deliver(claim), Delivered)
    assert mailbox.mails[0].recipients == ("jörg@xn--exmple-cua.example",)


async def test_attachments_arrive_as_they_were(
    adapter: EmailAdapter, mailbox: Mailbox, claim_of: Publish
) -> None:
    attachment = {"filename": "größe.pdf", "content_type": "application/pdf", "content_base64": "JVBERi0="}
    assert isinstance(await adapter.deliver(await claim_of({**MAIL, "attachments": [attachment]})), Delivered)
    [part] = mailbox.mails[0].message.iter_attachments()
    assert part.get_filename() == "größe.pdf"
    assert part.get_content() == b"%PDF-"


async def test_without_an_url_mails_wait(stack: AsyncExitStack, pool: Pool, claim_of: Publish) -> None:
    adapter = open_adapter(stack, pool, None)
    outcome = await adapter.deliver(await claim_of())
    assert isinstance(outcome, Deferred)
    assert outcome.wait is Wait.NOT_CONFIGURED
    with pytest.raises(Unavailable, match="POSTROOM_EMAIL__URL is not set"):
        await adapter.prove_login()


async def test_what_cannot_be_sent_is_refused_at_publish_time(adapter: EmailAdapter) -> None:
    adapter.check({"to": "ann@example.com", "template": "welcome", "data": {"object": {}}})
    with pytest.raises(InvalidPayload, match="known are card_expires, payment_failed") as unknown:
        adapter.check({"to": "ann@example.com", "template": "nope"})
    assert unknown.value.field == "template"
    with pytest.raises(InvalidPayload):
        adapter.check({"to": "ann@example.com\nBcc: eve@example.com", "subject": "s", "text": "t"})


async def test_a_template_that_fails_to_render_is_ours_to_mend_and_sends_nothing(
    adapter: EmailAdapter, mailbox: Mailbox, claim_of: Publish
) -> None:
    outcome = await adapter.deliver(await claim_of({"to": "ann@example.com", "template": "receipt"}))
    assert isinstance(outcome, Rejected)
    assert (outcome.code, outcome.cause) == ("template", Cause.OURS)
    assert outcome.reason.startswith("template receipt: ")
    assert mailbox.connections == 0


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"from": "nobody"}, "POSTROOM_EMAIL__FROM"),
        ({"url": "http://mail.example"}, "POSTROOM_EMAIL__URL"),
        ({"url": "smtps://mail.example", "tls_ca": Path("no-such-file.pem")}, "POSTROOM_EMAIL__TLS_CA"),
        ({"templates_dir": Path("no-such-folder")}, "POSTROOM_EMAIL__TEMPLATES_DIR"),
    ],
)
async def test_settings_that_cannot_work_are_named_at_start(
    options: dict[str, Any], name: str, pool: Pool
) -> None:
    with pytest.raises(SettingsInvalid, match=name):
        EmailAdapter(settings=EmailSettings(**options), pool=pool_as(pool, "runner"), clock=SystemClock())


async def test_a_large_mail_is_refused_by_its_size_before_it_is_sent(
    adapter: EmailAdapter, mailbox: Mailbox, claim_of: Publish
) -> None:
    mailbox.faults.sender_answer = "552 5.3.4 larger than we take"
    outcome = await adapter.deliver(await claim_of())
    assert isinstance(outcome, Rejected)
    assert outcome.cause is Cause.PERMANENT
    mailbox.faults.sender_answer = "553 5.7.1 this sender is not yours"
    ours = await adapter.deliver(await claim_of())
    assert isinstance(ours, RetryLater)
    assert (ours.code, ours.cause) == ("sender", Cause.OURS)
