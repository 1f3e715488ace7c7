"""A whole Postroom that can be broken: database, API and runner as processes, and what stands around them."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import aiohttp

from drill.certificate import write_certificate
from postroom.admin.tokens import Scope, insert_token
from postroom.base.db import Pool, open_pool, transaction
from postroom.base.listener import free_port
from postroom.base.migrate import migrate
from postroom.channels.webhooks import endpoints
from postroom.dev.mailbox import Mailbox
from postroom.dev.process import ChildProcess, module
from postroom.dev.receiver import Receiver
from postroom.dev.stripe_api import StripeStandIn
from postroom.outbox.limits import LimitKey, set_limit
from postroom.outbox.model import Channel
from postroom.postgres.logins import make_logins
from postroom.postgres.server import LocalPostgres

READY_S: Final = 90.0
POLL_S: Final = 0.2
TENANT: Final = "drill"
PROVIDER_USER: Final = "postmark"
PROVIDER_PASSWORD: Final = "drill-of-postmark-drill-of-postmark-drill"  # noqa: S105  made up
MAIL_USER: Final = "postroom"
MAIL_PASSWORD: Final = "right"  # noqa: S105  the catcher's, made up
METRICS_TOKEN: Final = "metrics-of-the-drill"  # noqa: S105  made up
WEBHOOK_URL: Final = "https://drill.example.com/v1/stripe/webhook"
STRIPE_BUDGET: Final = LimitKey(Channel.STRIPE, destination="api")
STRIPE_SECRET: Final = "whsec_ZHJpbGwtZHJpbGwtZHJpbGwtZHJpbGw="  # noqa: S105  made up
FOLDER: Final = Path(__file__).parent
COMMANDS: Final[Mapping[str, tuple[str, ...]]] = {
    "api": ("postroom", "serve"),
    "runner": ("postroom", "work"),
}


@dataclass(slots=True)
class Installation:
    """Promise: processes are started with what the environment file says at that moment, as systemd does."""

    folder: Path
    postgres: LocalPostgres
    mailbox: Mailbox
    customer: Receiver
    stranger: Receiver
    stripe: StripeStandIn
    port: int
    processes: dict[str, ChildProcess] = field(default_factory=dict)
    token: str = ""
    stripe_secret: str = STRIPE_SECRET
    frozen: set[str] = field(default_factory=set)
    logins: Mapping[str, str] = field(default_factory=dict)
    """The database as each process signs in to it. A person at a shell is its administrator."""
    _pool: Pool | None = None
    _restarting: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pool(self) -> Pool:
        if self._pool is None:
            raise RuntimeError("the database was not started")
        return self._pool

    @property
    def environment_file(self) -> Path:
        return self.folder / "environment"

    @property
    def exports(self) -> Path:
        return self.folder / "exports"

    @property
    def certificate(self) -> Path:
        return self.folder / "mail-server.pem"

    @property
    def broken_handler(self) -> Path:
        return self.folder / "handler-is-broken"

    def mail_url(self, password: str = MAIL_PASSWORD) -> str:
        return f"smtp://{MAIL_USER}:{password}@127.0.0.1:{self.mailbox.port}"

    def environment(self) -> dict[str, str]:
        """What a process or a shell gets now."""
        lines = self.environment_file.read_text().splitlines()
        return {**_own_environment(), **dict(line.split("=", 1) for line in lines if line)}

    def set(self, name: str, value: str) -> None:
        """Write one line of the environment file; processes see it once they are restarted."""
        settings = dict(line.split("=", 1) for line in self.environment_file.read_text().splitlines() if line)
        settings[name] = value
        self.environment_file.write_text("".join(f"{key}={text}\n" for key, text in settings.items()))

    async def start_database(self) -> None:
        await asyncio.to_thread(self.postgres.start)

    async def stop_database(self) -> None:
        await asyncio.to_thread(self.postgres.stop)

    async def start(self, name: str) -> None:
        self.processes[name] = await ChildProcess.start(
            name,
            module(*COMMANDS[name]),
            environment={**self.environment(), "POSTROOM_DATABASE_URL": self.logins[name]},
            log=self.folder / f"{name}.log",
        )

    async def stop(self, name: str) -> None:
        process = self.processes.pop(name)
        if name in self.frozen:  # it cannot hear us; systemd would kill it too
            process.signal(signal.SIGKILL)
            self.frozen.discard(name)
        await process.stop()

    async def restart(self, name: str) -> None:
        """One at a time: of two at once, the second would start a process that nobody stops."""
        async with self._restarting:
            if name in self.processes:
                await self.stop(name)
            await self.start(name)

    def freeze(self, name: str) -> None:
        self.processes[name].signal(signal.SIGSTOP)
        self.frozen.add(name)

    async def wait_alive(self) -> None:
        """Errors: `TimeoutError` when the API does not answer."""
        await self._wait_for("/livez")

    async def wait_ready(self) -> None:
        """Errors: `TimeoutError` when `/readyz` does not turn 200."""
        await self._wait_for("/readyz")

    async def _wait_for(self, path: str) -> None:
        async with asyncio.timeout(READY_S), aiohttp.ClientSession() as session:
            while not await _answers(session, self.url + path):
                await asyncio.sleep(POLL_S)

    async def prepare(self) -> None:
        """Migrate, make the token, register the receiver."""
        await self.start_database()
        await migrate(self.postgres.dsn, roles=True)
        self.logins = await make_logins(self.postgres.dsn)
        self._pool = await open_pool(self.postgres.dsn, connections_max=5, application="drill")
        self.set("POSTROOM_DATABASE_URL", self.postgres.dsn)
        async with transaction(self.pool) as conn:
            await set_limit(conn, STRIPE_BUDGET, per_second=300, reason="time runs faster", set_by="drill")
            self.token, _ = await insert_token(conn, name="on-call", scopes=tuple(Scope))
            made = await endpoints.create_endpoint(
                conn, tenant=TENANT, url=self.customer.url(), allow_private=True
            )
        self.customer.secrets.append(made.secret.get_secret_value())

    async def close(self) -> None:
        for name in tuple(self.processes):
            await self.stop(name)
        if self._pool is not None:
            self._pool.terminate()
        await self.stop_database()


@asynccontextmanager
async def open_installation(folder: Path) -> AsyncIterator[Installation]:
    """Start all of it in `folder`, and stop all of it when left. Errors: what does not start.

    The folder `exports` in it is there already: it may be a volume of its own.
    """
    logging.getLogger("mail.log").setLevel(logging.ERROR)  # aiosmtpd warns of each login
    mailbox, stripe = Mailbox(login=(MAIL_USER, MAIL_PASSWORD)), StripeStandIn()
    async with AsyncExitStack() as stack:
        await mailbox.start()
        stack.push_async_callback(mailbox.close)
        await stripe.start()
        stripe.endpoints.add(WEBHOOK_URL)
        stack.push_async_callback(stripe.stop)
        customer = await stack.enter_async_context(Receiver())
        stranger = await stack.enter_async_context(Receiver())
        installation = Installation(
            folder=folder,
            postgres=LocalPostgres(folder, port=free_port()),
            mailbox=mailbox,
            customer=customer,
            stranger=stranger,
            stripe=stripe,
            port=free_port(),
        )
        write_certificate(installation.certificate, ends_at=datetime.now(UTC) + timedelta(days=365))
        installation.environment_file.write_text(
            "".join(f"{key}={value}\n" for key, value in _settings(installation).items())
        )
        stack.push_async_callback(installation.close)
        await installation.prepare()
        for name in COMMANDS:
            await installation.start(name)
        await installation.wait_ready()
        yield installation


def _settings(installation: Installation) -> dict[str, str]:
    return {
        "POSTROOM_STATE_DIR": str(installation.folder),
        "POSTROOM_PORT": str(installation.port),
        "POSTROOM_METRICS_TOKEN": METRICS_TOKEN,
        "POSTROOM_STRIPE__WEBHOOK_SECRETS": STRIPE_SECRET,
        "POSTROOM_STRIPE__API_KEY": "sk_test_drill",
        "POSTROOM_STRIPE__WEBHOOK_URL": WEBHOOK_URL,
        "POSTROOM_STRIPE__API_BASE": installation.stripe.url,
        "POSTROOM_EMAIL__URL": installation.mail_url(),
        "POSTROOM_EMAIL__EVENTS_POSTMARK_LOGINS": f"{PROVIDER_USER}:{PROVIDER_PASSWORD}",
        "POSTROOM_EMAIL__TLS_CA": str(installation.certificate),
        "POSTROOM_WEBHOOK__ALLOW_PRIVATE": "true",
        "POSTROOM_EXPORTS__URL": installation.exports.as_uri(),
        "POSTROOM_EXPORTS__ROLL_S": "0",
        "POSTROOM_ROUTES": str(FOLDER / "routes.toml"),
        "POSTROOM_HANDLERS": str(FOLDER / "handlers.py"),
        "POSTROOM_DRILL_BROKEN": str(installation.broken_handler),
        "PYTHONUNBUFFERED": "1",
    }


def _own_environment() -> dict[str, str]:
    """Ours without settings of somebody's own installation, and with our commands first on the path."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("POSTROOM_")}
    return {
        **own,
        "PATH": f"{Path(sys.executable).parent}:{own.get('PATH', '')}",
        "PYTHONPATH": str(FOLDER.parent),
    }


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as response:
            return response.ok
    except aiohttp.ClientError:
        return False
