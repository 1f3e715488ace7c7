"""Rows about the adapters: the real adapters and engine over a bare loop that sends the same."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from email.message import EmailMessage
from statistics import median
from typing import Any, Final
from uuid import uuid4

import aiohttp
import aiosmtplib
import msgspec
from pydantic import SecretStr

from bench.engine import Engine, open_engine
from bench.report import Report
from bench.service import open_process
from bench.stage import Stage
from postroom.base.clock import SystemClock
from postroom.base.db import Pool, transaction
from postroom.base.email_settings import EmailSettings
from postroom.base.settings import WebhookSettings
from postroom.channels.email.adapter import EmailAdapter
from postroom.channels.webhooks.adapter import WebhookAdapter
from postroom.channels.webhooks.endpoints import create_endpoint
from postroom.channels.webhooks.payload import Payload, build_body
from postroom.channels.webhooks.signing import generate_secret, signed_headers
from postroom.outbox.model import Message
from postroom.outbox.publish import publish_many
from postroom.worker.model import JobContext

COUNT: Final = 20_000
EMAILS: Final = 1_500
CONNECTIONS: Final = 20
GOOD: Final = 20
SILENT: Final = 5
BACKLOG_A_SECOND: Final = 600
"""For each receiver, so that the backlog does not end."""
PORTS: Final = r"ports ([\d ]+)"
DATA: Final = {"id": "in_1", "amount_paid": 4_200, "currency": "eur", "lines": ["x" * 60] * 10}


async def measure_webhooks(stage: Stage, report: Report, *, rounds: int) -> None:
    """`webhook_over_bare`: signed and kept in the ledger, over a bare loop posting the same bytes.

    `webhooks_per_s`: the same deliveries a second, beside what peers post.
    """
    rates, ratios = [], []
    async with open_process(["bench.sink", "http"], {}, r"ports (\d+)") as (_, found):
        url = f"http://127.0.0.1:{found[1]}/"
        for _ in range(rounds):
            bare = await _post_bare(url)
            rates.append(await _deliver_webhooks(stage, [url]))
            ratios.append(rates[-1] / bare)
    report.put("webhooks_per_s", median(rates), spread=rates)
    report.put("webhook_over_bare", median(ratios), spread=ratios)


async def _post_bare(url: str) -> float:
    body, headers = webhook_request()
    left = iter(range(COUNT))

    async def post(session: aiohttp.ClientSession) -> None:
        for _ in left:
            async with session.post(url, data=body, headers=headers) as answer:
                await answer.read()

    started = time.perf_counter()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONNECTIONS)) as session:
        await asyncio.gather(*(post(session) for _ in range(CONNECTIONS)))
    return COUNT / (time.perf_counter() - started)


def webhook_request() -> tuple[bytes, dict[str, str]]:
    """What the adapter sends, made once: body, id, timestamp, signature."""
    now = datetime.now(UTC)
    data = msgspec.Raw(msgspec.json.encode(DATA))
    body = build_body(Payload(data=data), type_="invoice.paid", created_at=now)
    return body, {
        "content-type": "application/json",
        **signed_headers(uuid4(), body, at=now, keys=[generate_secret()]),
        "postroom-correlation-id": str(uuid4()),
    }


async def _deliver_webhooks(stage: Stage, urls: Sequence[str]) -> float:
    """One message a delivery, spread over the receivers. Returns: deliveries a second."""
    dsn = await stage.database()
    async with open_engine(dsn, _webhooks) as engine:
        await publish_to(engine.pool, urls, COUNT)
        rate = await engine.drain()
    await stage.drop(dsn)
    return rate


def _webhooks(pool: Pool) -> WebhookAdapter:
    settings = WebhookSettings(allow_private=True, connections_per_host=CONNECTIONS)
    return WebhookAdapter(pool=pool, clock=SystemClock(), settings=settings)


async def publish_to(pool: Pool, urls: Sequence[str], count: int, **more: Any) -> None:
    """A tenant a receiver, and `count` messages spread over them. `more`: of the endpoints."""
    async with transaction(pool) as conn:
        for number, url in enumerate(urls):
            await create_endpoint(conn, tenant=f"t{number}", url=url, allow_private=True, **more)
    for start in range(0, count, 1_000):
        messages = [
            Message(
                channel="webhook",
                payload={"tenant": f"t{n % len(urls)}", "type": "invoice.paid", "data": DATA},
            )
            for n in range(start, min(start + 1_000, count))
        ]
        async with transaction(pool) as conn:
            await publish_many(conn, messages)


async def measure_emails(stage: Stage, report: Report, *, rounds: int) -> None:
    """`email_over_bare`: rendered and kept in the ledger, over a bare loop with as many connections."""
    ratios = []
    async with open_process(["bench.sink", "smtp"], {}, r"ports (\d+)") as (_, found):
        port = int(found[1])
        for _ in range(rounds):
            bare = await _send_bare(port)
            ratios.append(await _deliver_emails(stage, port) / bare)
    report.put("email_over_bare", median(ratios), spread=ratios)


async def _send_bare(port: int) -> float:
    count = EMAILS
    left = iter(range(count))

    async def send() -> None:
        async with aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=False) as smtp:
            for number in left:
                mail = EmailMessage()
                mail["From"], mail["To"] = "postroom@example.com", "ada@example.com"
                mail["Subject"] = f"Welcome {number}"
                mail.set_content("Hello Ada,\n" + "welcome to all of it.\n" * 20)
                mail.add_alternative("<p>Hello Ada</p>" * 60, subtype="html")
                await smtp.send_message(mail)

    started = time.perf_counter()
    await asyncio.gather(*(send() for _ in range(EmailSettings().connections_max)))
    return count / (time.perf_counter() - started)


async def _deliver_emails(stage: Stage, port: int) -> float:
    dsn = await stage.database()

    def adapter(pool: Pool) -> EmailAdapter:
        settings = EmailSettings(url=SecretStr(f"smtp://127.0.0.1:{port}"))
        return EmailAdapter(settings=settings, pool=pool, clock=SystemClock())

    payload = {"to": "ada@example.com", "template": "welcome", "data": {"object": {"name": "Ada"}}}
    async with open_engine(dsn, adapter) as engine:
        for _ in range(0, EMAILS, 500):
            async with transaction(engine.pool) as conn:
                await publish_many(conn, [Message(channel="email", payload=payload)] * 500)
        rate = await engine.drain()
    await stage.drop(dsn)
    return rate


async def measure_slow_neighbours(stage: Stage, report: Report, *, rounds: int, seconds: int) -> None:
    """`slow_neighbour_ratio`: to 20 good receivers while 5 others never answer, over without them."""
    ratios = []
    async with open_process(["bench.sink", "http", str(GOOD)], {}, PORTS) as (_, good):
        for _ in range(rounds):
            alone = await _rate_beside(stage, seconds, _urls(good), [])
            # A process a round: when it ends, so do the attempts that wait for it.
            async with AsyncExitStack() as silent:
                started = open_process(["bench.sink", "silent", str(SILENT)], {}, PORTS)
                _, bad = await silent.enter_async_context(started)
                beside = await _rate_beside(stage, seconds, _urls(good), _urls(bad), silent.aclose)
                ratios.append(beside / alone)
    report.put("slow_neighbour_ratio", median(ratios), spread=ratios)


def _urls(found: re.Match[str]) -> list[str]:
    return [f"http://127.0.0.1:{port}/" for port in found[1].split()]


async def _rate_beside(
    stage: Stage,
    seconds: int,
    good: Sequence[str],
    bad: Sequence[str],
    end_bad: Callable[[], Awaitable[None]] | None = None,
) -> float:
    """Deliveries a second over `seconds`, out of a backlog that does not end."""
    dsn = await stage.database()
    async with open_engine(dsn, _webhooks) as engine:
        each = BACKLOG_A_SECOND * seconds
        await publish_to(engine.pool, [*good, *bad], (len(good) + len(bad)) * each)
        context = JobContext()
        task = asyncio.create_task(engine.run(context))
        await asyncio.sleep(seconds)
        delivered = await _delivered(engine)
        if delivered >= len(good) * each * 0.9:
            raise RuntimeError("the backlog was too small: raise BACKLOG_A_SECOND")
        context.stop.set()
        engine.wakeup.wake_all()
        if end_bad:
            await end_bad()
        await task
    await stage.drop(dsn)
    return delivered / seconds


async def _delivered(engine: Engine) -> float:
    count: int = await engine.pool.fetchval(
        "select count(*) from postroom.attempt where channel = 'webhook' and outcome = 'delivered'"
    )
    return float(count)
