"""Secrets in files that change: what runs takes them over, or none of them and says why."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from aiohttp import web
from pydantic import SecretStr
from structlog.testing import capture_logs

from postroom.base.db import Pool
from postroom.base.settings import Settings, load_settings
from postroom.channels.exports.adapter import ExportAdapter
from postroom.channels.stripe.client import Current
from postroom.channels.stripe.event import parse
from postroom.channels.stripe.processor import StripeAdapter
from postroom.dev.stripe_api import StripeStandIn
from postroom.dev.stripe_events import snapshot_event
from postroom.outbox.model import Channel
from postroom.postgres.logins import with_login
from postroom.wiring import WorkerServices, open_services, open_worker
from tests.fixtures.roles import as_role

LIMIT_S = 30.0
FIRST = "password-1"
INVOICE = {"id": "in_1", "object": "invoice"}


class Bucket:
    """Says of each file who put it there."""

    def __init__(self) -> None:
        self.puts: list[str] = []
        self.url = ""

    async def put(self, request: web.Request) -> web.Response:
        await request.read()
        self.puts.append(request.headers["Authorization"])
        return web.Response(headers={"ETag": '"1"'})


class Files:
    """The secrets of one process, each in a file."""

    def __init__(self, folder: Path, login_dsn: str) -> None:
        self._folder, self._login_dsn = folder, login_dsn

    def secrets(self, number: int) -> dict[str, str]:
        return {
            "POSTROOM_DATABASE_URL": self._login_dsn.replace(FIRST, f"password-{number}"),
            "POSTROOM_STRIPE__API_KEY": f"sk_test_{number}",
            "POSTROOM_STRIPE__WEBHOOK_SECRETS": f"whsec_{number}",
            "POSTROOM_EXPORTS__OPTIONS__ACCESS_KEY_ID": f"access-{number}",
            "POSTROOM_OIDC__CLIENT_SECRET": f"client-{number}",
            "POSTROOM_EMAIL__EVENTS_MAILGUN_KEYS": f"mailgun-{number}",
        }

    def write(self, texts: dict[str, str]) -> dict[str, str]:
        """Returns: the settings that name them."""
        for name, text in texts.items():
            (self._folder / "new").write_text(text)
            (self._folder / "new").replace(self._folder / name)
        return {f"{name}_FILE": str(self._folder / name) for name in texts}


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not condition():
            await asyncio.sleep(0.05)


@pytest.fixture
async def bucket() -> AsyncIterator[Bucket]:
    made, application = Bucket(), web.Application()
    application.router.add_put("/{path:.+}", made.put)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture
async def stripe() -> AsyncIterator[StripeStandIn]:
    stand_in = StripeStandIn()
    await stand_in.start()
    stand_in.put(INVOICE)
    yield stand_in
    await stand_in.stop()


@pytest.fixture
async def login_dsn(pool: Pool, dsn: str) -> AsyncIterator[str]:
    """As a deployment gives it to a runner, but of this test alone."""
    name = f"login_of_{urlsplit(dsn).path[1:]}"
    runner = urlsplit(as_role(dsn, "runner")).username
    await pool.execute(f"create role {name} login password '{FIRST}' in role {runner}")
    yield with_login(dsn, name, FIRST)
    await pool.execute(f"drop role {name}")


@pytest.fixture
def files(
    login_dsn: str, tmp_path: Path, stripe: StripeStandIn, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> Files:
    made = Files(tmp_path, login_dsn)
    settings = {
        "POSTROOM_STATE_DIR": str(tmp_path),
        "POSTROOM_STRIPE__API_BASE": stripe.url,
        "POSTROOM_EXPORTS__URL": "s3://bucket/exports",
        "POSTROOM_EXPORTS__OPTIONS__ENDPOINT": bucket.url,
        "POSTROOM_EXPORTS__OPTIONS__REGION": "us-east-1",
        "POSTROOM_EXPORTS__OPTIONS__SECRET_ACCESS_KEY": "value",
        **made.write(made.secrets(1)),
    }
    for name, text in settings.items():
        monkeypatch.setenv(name, text)
    return made


def dsn_of(settings: Settings) -> str:
    assert settings.database_url is not None
    return settings.database_url.get_secret_value()


def refused(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """The settings that the last look at the files found fault with."""
    told = [line["faults"] for line in lines if line["event"] == "settings.not_reloaded"]
    return [fault.partition(":")[0] for fault in told[-1]] if told else []


async def use_all(parts: WorkerServices) -> None:
    """Open another connection, ask Stripe for an object, store a file."""
    services = parts.services
    stripe, exports = services.adapters[Channel.STRIPE], services.adapters[Channel.EXPORT]
    assert isinstance(stripe, StripeAdapter)
    assert isinstance(exports, ExportAdapter)
    async with services.pool.acquire(), services.pool.acquire() as conn:
        await conn.fetchval("select 1")
    event: dict[str, Any] = snapshot_event("invoice.paid", INVOICE)
    assert isinstance(await stripe._current.fetch(parse(event)), Current)
    await exports.files.open().put("file", b"content")


async def test_each_secret_is_taken_over_by_what_runs(
    files: Files, pool: Pool, login_dsn: str, stripe: StripeStandIn, bucket: Bucket
) -> None:
    settings = load_settings(serves=False)
    async with open_worker(settings, dsn_of(settings), role="test") as parts:
        await use_all(parts)
        assert (stripe.requests[-1].key, "Credential=access-1/" in bucket.puts[-1]) == ("sk_test_1", True)

        await pool.execute(f"alter role {urlsplit(login_dsn).username} password 'password-2'")
        await parts.services.pool.expire_connections()
        with pytest.raises(asyncpg.InvalidPasswordError):
            await use_all(parts)
        files.write(files.secrets(2))
        await until(lambda: settings.oidc.client_secret.get_secret_value() == "client-2")
        assert settings.email.events_mailgun_keys == SecretStr("mailgun-2")
        await use_all(parts)
        assert (stripe.requests[-1].key, "Credential=access-2/" in bucket.puts[-1]) == ("sk_test_2", True)
        listening = asyncio.create_task(parts.wakeup.listening())
        await until(lambda: parts.wakeup._listening)
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening


async def test_more_than_another_secret_is_left_to_a_restart(files: Files) -> None:
    settings = load_settings(serves=False)
    with capture_logs() as lines:
        async with open_worker(settings, dsn_of(settings), role="test") as parts:
            for url in ("postgresql://login:password@127.0.0.1/another", "postgresql://[no-url"):
                other = {"POSTROOM_DATABASE_URL": url, "POSTROOM_STRIPE__API_KEY": "sk_live_2"}
                lines.clear()
                files.write(files.secrets(2) | other)
                await until(lambda: refused(lines) == ["POSTROOM_DATABASE_URL", "POSTROOM_STRIPE__…"])
                assert settings.oidc.client_secret.get_secret_value() == "client-1"
                await use_all(parts)
            files.write(files.secrets(1) | {"POSTROOM_OIDC__CLIENT_SECRET": "client-2"})
            await until(lambda: settings.oidc.client_secret.get_secret_value() == "client-2")
    assert "password" not in str(lines)


async def test_each_of_several_ledgers_takes_over_what_is_its_own(
    files: Files, tmp_path: Path, stripe: StripeStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("POSTROOM_DATABASE_URL_FILE")
    monkeypatch.setenv("POSTROOM_LEDGERS__A__URL_FILE", str(tmp_path / "POSTROOM_DATABASE_URL"))
    monkeypatch.setenv("POSTROOM_LEDGERS__B__URL", "postgresql://127.0.0.1/another")
    monkeypatch.setenv("POSTROOM_STRIPE__LEDGER", "a")
    every = load_settings(serves=False)
    a, b = every.of_ledger("a"), every.of_ledger("b")
    async with open_worker(a, dsn_of(a), role="test") as parts, open_services(b, dsn_of(b)):
        files.write(files.secrets(2) | {"POSTROOM_DATABASE_URL": dsn_of(a)})
        for settings in (a, b):
            await until(lambda: settings.oidc.client_secret.get_secret_value() == "client-2")  # noqa: B023
        await use_all(parts)
    assert stripe.requests[-1].key == "sk_test_2"
    assert (dsn_of(b), b.stripe.api_key, b.exports.layout[:9]) == (
        "postgresql://127.0.0.1/another",
        None,
        "ledger=b/",
    )
