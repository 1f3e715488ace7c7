"""Secrets are planted, things go wrong with each of them, and everything written is searched for them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import aiohttp

from postroom.admin.tokens import Scope, insert_token
from postroom.base.db import Pool, transaction
from postroom.dev.mailbox import Mailbox
from postroom.dev.stripe_events import encode, signed, snapshot_event
from tests.processes.commands import run, running_command

PLANTED = {
    "Stripe key": "sk_live_plantedStripeKey42",
    "signing secret": "whsec_plantedSigningSecret42",
    "metrics token": "plantedMetricsToken42",
    "database password": "plantedDatabasePassword42",
    "SMTP password": "plantedSmtpPassword42",
}
MAIL = {"channel": "email", "payload": {"to": "a@example.com", "subject": "s", "text": "t"}}
LIMIT_S = 60.0


@asynccontextmanager
async def login_with_a_known_password(dsn: str, pool: Pool) -> AsyncIterator[str]:
    """The database's address with a user of this test's own, whose password is planted."""
    user = f"planted_{uuid4().hex[:12]}"
    await pool.execute(f"create role {user} login superuser password '{PLANTED['database password']}'")
    parts = urlsplit(dsn)
    place = parts.netloc.rpartition("@")[2]
    try:
        yield parts._replace(netloc=f"{user}:{PLANTED['database password']}@{place}").geturl()
    finally:
        await pool.execute(f"drop role {user}")


@asynccontextmanager
async def mail_server() -> AsyncIterator[int]:
    """One that knows another password than the one it will be told. Yields its port."""
    mailbox = Mailbox(login=("post", "another password"))
    await mailbox.start()
    try:
        yield mailbox.port
    finally:
        await mailbox.close()


def settings_of(dsn: str, smtp_port: int) -> dict[str, str]:
    return {
        "POSTROOM_ENV": "prod",
        "POSTROOM_PORT": "0",
        "POSTROOM_DATABASE_URL": dsn,
        "POSTROOM_METRICS_TOKEN": PLANTED["metrics token"],
        "POSTROOM_STRIPE__API_KEY": PLANTED["Stripe key"],
        "POSTROOM_STRIPE__API_BASE": "http://127.0.0.1:1",
        "POSTROOM_STRIPE__WEBHOOK_SECRETS": PLANTED["signing secret"],
        "POSTROOM_EMAIL__URL": f"smtp://post:{PLANTED['SMTP password']}@127.0.0.1:{smtp_port}",
    }


async def use_it(base: str, token: str) -> list[str]:
    """Call it rightly and wrongly. Returns every answer, problem documents included."""
    body = encode(snapshot_event("invoice.paid", {"id": "in_1", "object": "invoice"}))
    good = {"Authorization": f"Bearer {token}"}
    metrics = {"Authorization": f"Bearer {PLANTED['metrics token']}"}
    secret = PLANTED["signing secret"]
    calls: list[tuple[str, str, dict[str, str], bytes | None, int]] = [
        ("POST", "/v1/stripe/webhook", signed(body, secret), body, 200),
        ("POST", "/v1/stripe/webhook", signed(body, secret + "x"), body, 400),
        ("POST", "/v1/stripe/webhook", {"Stripe-Signature": secret}, body, 400),
        ("POST", "/v1/events", good, encode(MAIL), 201),
        ("POST", "/v1/events", good, encode({"channel": "email"}), 422),
        ("GET", "/v1/admin/jobs/status", {"Authorization": f"Bearer {token[:-1]}"}, None, 401),
        ("GET", "/v1/admin/outbox", good, None, 200),
        ("GET", "/readyz", good, None, 503),
        ("GET", "/metrics", {"Authorization": f"Bearer {PLANTED['metrics token']}x"}, None, 401),
        ("GET", "/metrics", metrics, None, 200),
    ]
    written = []
    async with aiohttp.ClientSession(base) as client:
        for method, path, headers, data, status in calls:
            async with client.request(method, path, headers=headers, data=data) as answer:
                text = await answer.text()
                assert answer.status == status, (path, text)
                written.append(f"{answer.headers} {text}")
    return written


async def everything_stored(pool: Pool) -> list[str]:
    tables = await pool.fetch(
        "select format('%I.%I', schemaname, tablename) from pg_tables where schemaname = 'postroom'"
    )
    return [
        str(row[0])
        for (table,) in tables
        for row in await pool.fetch(f"select row_to_json(t)::text from {table} t")
    ]


def run_everything(settings: dict[str, str], token: str, home: Path) -> list[str]:
    """The service, its jobs, and commands that cannot work. Returns all they said; the first is the log."""
    serve = ["serve", "--drain-s", "0"]
    with running_command(
        serve, home=home, settings=settings, ready="http.listening", limit_s=LIMIT_S
    ) as running:
        port = re.search(r'"port": (\d+)', running.output)
        assert port is not None, running.output
        written = asyncio.run(use_it(f"http://127.0.0.1:{port[1]}", token))
    written.insert(0, running.output)
    nowhere = f"postgresql://post:{PLANTED['database password']}@127.0.0.1:1/nowhere"
    misspelt = f"smtp://post:{PLANTED['SMTP password']}@127.0.0.1:port"
    for module, arguments, wrong in (
        ("postroom", ["work", "--job", "stripe-events", "--once"], {}),
        ("postroom", ["work", "--job", "outbox-delivery", "--once"], {}),
        ("postroom", ["doctor", "--json"], {}),
        ("postroom", ["doctor", "--json"], {"POSTROOM_DATABASE_URL": nowhere}),
        ("postroom", ["serve"], {"POSTROOM_EMAIL__URL": misspelt}),
    ):
        ended = run(module, *arguments, home=home, settings=settings | wrong)
        written += [ended.out, ended.err]
    return written


async def test_no_planted_secret_is_written_anywhere(dsn: str, pool: Pool, tmp_path: Path) -> None:
    async with transaction(pool) as conn:
        token, _ = await insert_token(conn, name="test", scopes=tuple(Scope))
    async with login_with_a_known_password(dsn, pool) as address, mail_server() as smtp_port:
        settings = settings_of(address, smtp_port)
        written = await asyncio.to_thread(run_everything, settings, token, tmp_path)
    stored = await everything_stored(pool)

    # What went wrong is told, or searching for the secrets in it proves nothing.
    for event in ("stripe.refused", "auth.refused", '"message_id"'):
        assert event in written[0]
    assert any("535" in text for text in stored), "the failed login is in the ledger"
    assert "POSTROOM_EMAIL__URL" in written[-1]
    for name, secret in {**PLANTED, "admin token": token}.items():
        for text in (*written, *stored):
            assert secret not in text, f"{name} was written: {text}"
