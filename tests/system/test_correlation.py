"""What Stripe began can be followed: ledger, attempts, log lines, and the headers that receivers see."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from postroom.base import json
from postroom.base.db import Pool
from postroom.base.settings import Settings
from postroom.base.stripe_settings import StripeSettings
from postroom.dev.mailbox import Mailbox
from postroom.dev.receiver import Receiver
from postroom.dev.stripe_events import encode, signed, snapshot_event
from tests.fixtures.api import running_api
from tests.processes.commands import run

SECRET = "whsec_correlation"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OTHER = "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
ROUTES = """
[[route]]
on = "invoice.paid"
email = {{ to = "ada@example.com", subject = "Paid", text = "Thank you" }}
webhook = {{ url = "{url}", type = "invoice.paid" }}
"""


def stripe_settings() -> Settings:
    return Settings(stripe=StripeSettings(webhook_secrets=(SecretStr(SECRET),)))


async def run_job(name: str, home: Path, settings: Mapping[str, str]) -> list[dict[str, Any]]:
    """Drain by the real command. Returns its log, line by line."""
    ended = await asyncio.to_thread(
        run, "postroom", "work", "--job", name, "--once", home=home, settings=settings
    )
    assert ended.code == 0, ended.err
    return [json.decode(line) for line in ended.err.splitlines()]


async def test_from_a_stripe_event_to_the_last_header(dsn: str, pool: Pool, tmp_path: Path) -> None:
    event = snapshot_event("invoice.paid", {"id": "in_1", "object": "invoice"}, event_id="evt_trace_1")
    body = encode(event)
    mailbox = Mailbox()
    await mailbox.start()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(mailbox.close)
        receiver = await stack.enter_async_context(Receiver())
        async with running_api(dsn, stripe_settings()) as api:
            headers = {**signed(body, SECRET), "traceparent": TRACE}
            answer = await api.post("/v1/stripe/webhook", data=body, headers=headers)
        (tmp_path / "routes.toml").write_text(ROUTES.format(url=receiver.url()))
        settings = {
            "POSTROOM_DATABASE_URL": dsn,
            "POSTROOM_STATE_DIR": str(tmp_path),
            "POSTROOM_LOG_JSON": "true",
            "POSTROOM_ROUTES": str(tmp_path / "routes.toml"),
            "POSTROOM_STRIPE__WEBHOOK_SECRETS": SECRET,
            "POSTROOM_EMAIL__URL": f"smtp://127.0.0.1:{mailbox.port}",
            "POSTROOM_WEBHOOK__ALLOW_PRIVATE": "true",
        }
        processed = await run_job("stripe-events", tmp_path, settings)
        delivered = await run_job("outbox-delivery", tmp_path, settings)
        [mail] = await mailbox.wait_for(1)
        [post] = await receiver.wait_for(1)

    origin = answer.json["id"]
    assert mail.headers()["X-Correlation-Id"] == origin
    assert (post.headers["postroom-correlation-id"], post.headers["traceparent"]) == (origin, TRACE)

    rows = await pool.fetch(
        "select m.channel, m.id::text, m.correlation_id, m.traceparent, a.outcome"
        " from postroom.message m join postroom.attempt a on a.message_id = m.id"
    )
    assert {row["channel"] for row in rows} == {"stripe", "email", "webhook"}
    assert {row["correlation_id"] or row["id"] for row in rows} == {origin}
    assert {(row["traceparent"], row["outcome"]) for row in rows} == {(TRACE, "delivered")}

    [line] = [line for line in processed if line.get("event_id") == "evt_trace_1"]
    assert (line["job"], line["message_id"], line["correlation_id"]) == ("stripe-events", origin, origin)
    outbound = {row["id"] for row in rows} - {origin}
    attempts = [line for line in delivered if line["event"] == "delivery.attempt"]
    assert {line["message_id"] for line in attempts} == outbound
    assert {(line["job"], line["correlation_id"]) for line in attempts} == {("outbox-delivery", origin)}


@pytest.mark.parametrize(
    ("header", "own", "booked"),
    [(TRACE, None, TRACE), (TRACE, OTHER, OTHER), ("nonsense", None, None), (None, OTHER, OTHER)],
    ids=["header", "an event's own goes first", "a broken header is left out", "no header"],
)
async def test_publishing_takes_the_traceparent(
    dsn: str, pool: Pool, header: str | None, own: str | None, booked: str | None
) -> None:
    event = {"channel": "email", "payload": {"to": "a@example.com", "subject": "s", "text": "t"}}
    async with running_api(dsn, Settings()) as api:
        headers = {"Authorization": f"Bearer {api.token}"} | ({"traceparent": header} if header else {})
        answer = await api.post("/v1/events", json=event | {"traceparent": own}, headers=headers)
    assert answer.status == 201
    assert booked == await pool.fetchval("select traceparent from postroom.message")
