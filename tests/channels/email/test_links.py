"""Invoices attached as PDF: fetched from Stripe and from nowhere else, within a limit, or tried again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from postroom.base import json
from postroom.base.clock import SystemClock
from postroom.base.db import Pool
from postroom.base.email_settings import EmailSettings
from postroom.base.errors import InvalidPayload
from postroom.channels.email import payload
from postroom.channels.email.adapter import EmailAdapter
from postroom.channels.email.links import Links
from postroom.dev.mailbox import Mailbox
from postroom.outbox.model import Answer, Cause, Deferred, Delivered, Rejected, RetryLater, Wait
from tests.factories.claims import make_claim
from tests.fixtures.roles import pool_as
from tests.fixtures.tls import tls_host

PDF = b"%PDF-1.7 an invoice"
URL = "https://pay.stripe.com/invoice/acct_1/live_2/pdf?s=ap"
Answers = Callable[[], web.Response]
MAIL: dict[str, Any] = {"to": "ann@example.com", "subject": "Hello", "text": "Good day"}


def mail(url: str | None = URL, **more: Any) -> dict[str, Any]:
    return {**MAIL, "attachments": [{"filename": "A-17.pdf", "url": url, **more}]}


@dataclass
class Desk:
    """A runner's adapter; Stripe, which answers what it is told to; and a mail server."""

    adapter: EmailAdapter
    mailbox: Mailbox
    answers: dict[str, Answers]
    asked: list[str] = field(default_factory=list)
    slow: asyncio.Event = field(default_factory=asyncio.Event)
    """Stripe answers while it is set."""
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self, body: dict[str, Any]) -> Answer:
        return await self.adapter.deliver(make_claim(destination="email", payload=json.encode(body)))


@pytest.fixture
async def desk(pool: Pool, tmp_path: Path) -> AsyncIterator[Desk]:
    mailbox = Mailbox()
    await mailbox.start()
    answers: dict[str, Answers] = {}
    asked: list[str] = []
    slow, reached = asyncio.Event(), asyncio.Event()
    slow.set()

    async def answer(request: web.Request) -> web.Response:
        asked.append(f"{request.host}{request.path}")
        reached.set()
        await slow.wait()
        return answers.get(request.path, pdf)()

    options = {"url": f"smtp://127.0.0.1:{mailbox.port}", "from": "shop@shop.example"}
    settings = EmailSettings.model_validate({**options, "attachments_bytes_max": 100})
    async with tls_host(tmp_path, "pay.stripe.com", "files.stripe.com", answer=answer) as stripe:
        adapter = EmailAdapter(
            settings=settings,
            pool=pool_as(pool, "runner"),
            clock=SystemClock(),
            links=Links(stripe.connector),
        )
        yield Desk(adapter, mailbox, answers, asked, slow, reached)
        slow.set()
        await adapter.close()
    await mailbox.close()


def pdf(more: bytes = b"") -> web.Response:
    return web.Response(body=PDF + more)


def said(status: int, text: str = "") -> Answers:
    return lambda: web.Response(status=status, text=text)


def moved(to: str) -> Answers:
    return lambda: web.Response(status=302, headers={"Location": to})


async def test_an_invoice_goes_along_as_pdf(desk: Desk) -> None:
    desk.answers["/invoice/acct_1/live_2/pdf"] = moved("https://files.stripe.com/a.pdf")
    assert isinstance(await desk.send(mail()), Delivered)
    [received] = await desk.mailbox.wait_for(1)
    [attached] = message_from_bytes(received.content, policy=default).iter_attachments()
    assert (attached.get_filename(), attached.get_content_type()) == ("A-17.pdf", "application/pdf")
    assert attached.get_content() == PDF
    assert desk.asked == ["pay.stripe.com/invoice/acct_1/live_2/pdf", "files.stripe.com/a.pdf"]


async def test_an_invoice_without_a_pdf_goes_without(desk: Desk) -> None:
    assert isinstance(await desk.send(mail(None)), Delivered)
    assert isinstance(await desk.send(mail("")), Delivered)
    assert desk.asked == []


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (said(503), "pay.stripe.com answered 503"),
        (said(429), "pay.stripe.com answered 429"),
        (
            said(200, "<html>"),
            "pay.stripe.com answered with something that is no PDF",
        ),
    ],
)
async def test_what_may_pass_is_tried_again(desk: Desk, answer: Answers, reason: str) -> None:
    desk.answers["/invoice/acct_1/live_2/pdf"] = answer
    got = await desk.send(mail())
    assert isinstance(got, RetryLater)
    assert (got.reason, got.cause) == (reason, Cause.PASSING)
    assert not desk.mailbox.mails


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (said(404), "pay.stripe.com answered 404 where an attachment should be"),
        (lambda: pdf(b"x" * 100), "the attachment is larger than 100 bytes"),
        (moved("https://169.254.169.254/latest"), "169.254.169.254 is not Stripe's"),
        (moved("http://pay.stripe.com/"), "pay.stripe.com is not Stripe's"),
        (moved("https://stripe.com@evil.example/"), "evil.example is not Stripe's"),
        (moved("/invoice/acct_1/live_2/pdf"), "pay.stripe.com redirected more than 5 times"),
    ],
)
async def test_what_stays_wrong_is_a_dead_letter(desk: Desk, answer: Answers, reason: str) -> None:
    desk.answers["/invoice/acct_1/live_2/pdf"] = answer
    got = await desk.send(mail())
    assert isinstance(got, Rejected)
    assert got.reason.startswith(reason)
    assert got.cause is Cause.OURS
    assert not desk.mailbox.mails
    assert all(each.startswith("pay.stripe.com/") for each in desk.asked)


async def test_while_stripe_is_slow_other_mails_go_out(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk.adapter, "_fetching", asyncio.Semaphore(1))
    desk.slow.clear()
    first = asyncio.create_task(desk.send(mail()))
    await desk.reached.wait()
    put_off = await desk.send(mail())
    assert isinstance(put_off, Deferred)
    assert put_off.wait is Wait.DESTINATION_FULL
    assert isinstance(await desk.send(MAIL), Delivered)
    desk.slow.set()
    assert isinstance(await first, Delivered)


async def test_all_attachments_share_the_limit(desk: Desk) -> None:
    twice = [{"filename": "1.pdf", "url": URL}, {"filename": "2.pdf", "url": URL}]
    desk.answers["/invoice/acct_1/live_2/pdf"] = lambda: pdf(b"x" * 40)
    assert isinstance(await desk.send({**MAIL, "attachments": twice}), Rejected)


@pytest.mark.parametrize(
    "url",
    [
        "http://pay.stripe.com/a",
        "https://pay.stripe.com.evil.example/a",
        "https://evil.example/.stripe.com/",
        "https://evil.example\\.stripe.com/",
        "https://evil@pay.stripe.com/",
        "https://pay.stripe.com:8443/",
        "https://xstripe.com/",
        "https://pay.stripe.com/ü",
        "https://pay.stripe.com/" + "x" * 2_000,
    ],
)
def test_elsewhere_is_refused_when_it_is_published(url: str) -> None:
    with pytest.raises(InvalidPayload, match=r"fetched from https://….stripe.com only") as refused:
        payload.parse(mail(url), attachments_bytes_max=0)
    assert refused.value.field == "attachments[0].url"


@pytest.mark.parametrize("beside", [{"content_base64": "YQ=="}, {"content_type": "text/plain"}])
def test_beside_a_url_nothing_says_what_it_is(beside: dict[str, str]) -> None:
    with pytest.raises(InvalidPayload, match="beside a url stands a filename only"):
        payload.parse(mail(**beside), attachments_bytes_max=1_000)


def test_an_attachment_has_something_in_it() -> None:
    with pytest.raises(InvalidPayload, match="neither content_base64 nor url"):
        payload.parse({**MAIL, "attachments": [{"filename": "a.pdf"}]}, attachments_bytes_max=1_000)
