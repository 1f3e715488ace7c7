"""The whole installation of a run: processes, database, network and fake_services, in one folder."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp

from chaos.cluster import Cluster
from chaos.database import Database
from chaos.entrances import ORDER_TABLE, TENANT
from chaos.outside import GOOD
from chaos.process import ManagedProcess
from chaos.tasks import LINES, TABLES
from postroom.admin.tokens import Scope, insert_token
from postroom.base import encryption_keys as encryption
from postroom.base.db import open_pool, transaction
from postroom.base.listener import free_ports
from postroom.base.migrate import migrate
from postroom.channels.webhooks import endpoints
from postroom.dev.stripe_api import StripeStandIn
from postroom.postgres.logins import make_logins, signed_in_as

READY_WITHIN_S: Final = 90.0
POLL_S: Final = 0.1
CLOCK_OFFSETS_S: Final = (0.0, -1_800.0, 1_800.0)
RECEIVERS: Final = 2
MAILBOXES: Final = 2
"""Two routes of mail: while one server is away, mails go through the other."""


@dataclass(frozen=True, slots=True)
class Installation:
    """`secret` signs Stripe's events, `token` publishes over HTTP."""

    folder: Path
    exports_dir: Path
    database: Database | Cluster
    apis: tuple[ManagedProcess, ...]
    urls: tuple[str, ...]
    runners: tuple[ManagedProcess, ...]
    receivers: tuple[ManagedProcess, ...]
    mailboxes: tuple[ManagedProcess, ...]
    stripe: StripeStandIn
    secret: str
    token: str
    endpoint_ids: tuple[str, ...]

    @property
    def processes(self) -> tuple[ManagedProcess, ...]:
        return (*self.apis, *self.runners, *self.receivers, *self.mailboxes)

    def mood_path(self, process: ManagedProcess) -> Path:
        return self.folder / f"{process.name}.mood"

    def arrivals_path(self, process: ManagedProcess) -> Path:
        return self.folder / f"{process.name}.arrivals"

    def set_mood(self, process: ManagedProcess, mood: str = GOOD) -> None:
        self.mood_path(process).write_text(mood)


@asynccontextmanager
async def open_installation(
    folder: Path, exports_dir: Path, database: Database | Cluster
) -> AsyncIterator[Installation]:
    """Start everything; end everything in reverse order, whatever happened.

    Errors: `TimeoutError` when it is not ready in time.
    """
    async with AsyncExitStack() as stack:
        stack.push_async_callback(database.stop)
        await database.start()
        await migrate(database.direct_dsn, roles=True)
        logins = await make_logins(database.direct_dsn)
        for statement in (ORDER_TABLE, *TABLES):
            await database.execute(statement)
        stripe = StripeStandIn()
        await stripe.start()
        stack.push_async_callback(stripe.stop)
        ports = free_ports(2 + RECEIVERS + MAILBOXES)
        api_ports, receiver_ports, mail_ports = ports[:2], ports[2:-MAILBOXES], ports[-MAILBOXES:]
        token, signing, endpoint_ids = await _prepare(database, receiver_ports)
        secret = "whsec_" + secrets.token_hex(16)
        environment = _environment(
            folder,
            exports_dir,
            mail_ports=mail_ports,
            stripe_url=stripe.url,
            secret=secret,
        )

        def signed_in(part: str, number: int) -> dict[str, str]:
            dsn = database.dsns[number % len(database.dsns)]
            return {**environment, "POSTROOM_DATABASE_URL": signed_in_as(dsn, logins[part])}

        installation = Installation(
            folder=folder, exports_dir=exports_dir, database=database, stripe=stripe,
            apis=tuple(_api(folder, signed_in("api", n), n, port) for n, port in enumerate(api_ports)),
            urls=tuple(f"http://127.0.0.1:{port}" for port in api_ports),
            runners=tuple(_runner(folder, signed_in("runner", n), n) for n in range(len(CLOCK_OFFSETS_S))),
            receivers=tuple(
                _outside(folder, f"receiver-{n}", "receiver", port, "--secret", signing[n])
                for n, port in enumerate(receiver_ports)
            ),
            mailboxes=tuple(
                _outside(folder, f"mailbox-{n}", "mailbox", port) for n, port in enumerate(mail_ports)
            ),
            secret=secret, token=token, endpoint_ids=endpoint_ids,
        )  # fmt: skip
        stack.push_async_callback(_stop_all, installation)
        await asyncio.gather(*(process.start() for process in installation.processes))
        await wait_until_ready(installation)
        yield installation


async def wait_until_ready(installation: Installation) -> None:
    """Errors: `TimeoutError` naming the folder of the logs, `RuntimeError` when a process has ended."""
    try:
        async with asyncio.timeout(READY_WITHIN_S), aiohttp.ClientSession() as client:
            for url in installation.urls:
                while not await _is_ready(client, url):
                    _refuse_ended(installation)
                    await asyncio.sleep(POLL_S)
    except TimeoutError:
        raise TimeoutError(f"not ready within {READY_WITHIN_S:g} s; logs in {installation.folder}") from None


def _refuse_ended(installation: Installation) -> None:
    for process in installation.processes:
        if not process.running:
            raise RuntimeError(f"{process.name} has ended:\n{process.log_path.read_text()[-2_000:]}")


async def _is_ready(client: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with client.get(f"{url}/readyz") as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


async def _stop_all(installation: Installation) -> None:
    await asyncio.gather(*(process.stop() for process in installation.processes))


async def _prepare(
    database: Database | Cluster, receiver_ports: list[int]
) -> tuple[str, list[str], tuple[str, ...]]:
    """A token to publish with, and the receivers as endpoints of one tenant."""
    pool = await open_pool(database.direct_dsn, connections_max=2)
    try:
        async with transaction(pool) as conn:
            token, _ = await insert_token(conn, name="chaos", scopes=(Scope.EVENTS_WRITE,))
            made = [
                await endpoints.create_endpoint(
                    conn, tenant=TENANT, url=f"http://127.0.0.1:{port}/hooks", allow_private=True
                )
                for port in receiver_ports
            ]
    finally:
        await pool.close()
    return token, [each.secret.get_secret_value() for each in made], tuple(str(e.endpoint.id) for e in made)


def _environment(
    folder: Path,
    exports_dir: Path,
    *,
    mail_ports: Sequence[int],
    stripe_url: str,
    secret: str,
) -> dict[str, str]:
    """Nothing of ours but what Python needs. Times are short, so that a minute sees many of them."""
    return {
        "PATH": os.environ.get("PATH", ""),
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "HOME": str(folder),
        "POSTROOM_STATE_DIR": str(folder / "state"),
        "POSTROOM_LOG_JSON": "true",
        **{
            f"POSTROOM_EMAIL__ROUTES__SERVER_{n}__URL": f"smtp://127.0.0.1:{port}"
            for n, port in enumerate(mail_ports)
        },
        "POSTROOM_EMAIL__TIMEOUT_S": "3",
        "POSTROOM_WEBHOOK__ALLOW_PRIVATE": "true",
        "POSTROOM_WEBHOOK__TIMEOUT_S": "3",
        "POSTROOM_WEBHOOK__STEPS_S": "0.5,1,2,4,8,15,30",
        "POSTROOM_EXPORTS__URL": exports_dir.as_uri(),
        "POSTROOM_EXPORTS__ROLL_S": "3",
        "POSTROOM_STRIPE__WEBHOOK_SECRETS": secret,
        "POSTROOM_STRIPE__API_KEY": "sk_test_" + secrets.token_hex(12),
        "POSTROOM_STRIPE__API_BASE": stripe_url,
        "POSTROOM_STRIPE__TIMEOUT_S": "3",
        "POSTROOM_ROUTES": str(Path(__file__).with_name("routes.toml")),
        "POSTROOM_HANDLERS": str(Path(__file__).with_name("tasks.py")),
        "POSTROOM_TASKS__PROCESSES": "2",
        LINES: str(folder / "task-lines"),
        # Payloads are encrypted where whoever started the run has keys.
        **{name: text for name, text in os.environ.items() if name == encryption.SETTING},
    }


def _api(folder: Path, environment: Mapping[str, str], number: int, port: int) -> ManagedProcess:
    return ManagedProcess(
        f"api-{number}",
        ("postroom", "serve"),
        {**environment, "POSTROOM_PORT": str(port)},
        folder / f"api-{number}.log",
    )


def _runner(folder: Path, environment: Mapping[str, str], number: int) -> ManagedProcess:
    return ManagedProcess(
        f"runner-{number}",
        ("postroom", "work"),
        environment,
        folder / f"runner-{number}.log",
        CLOCK_OFFSETS_S[number],
    )


def _outside(folder: Path, name: str, what: str, port: int, *more: str) -> ManagedProcess:
    command = (
        "chaos.outside", what, "--port", str(port),
        "--log", str(folder / f"{name}.arrivals"), "--mood", str(folder / f"{name}.mood"), *more,
    )  # fmt: skip
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
    }
    return ManagedProcess(name, command, environment, folder / f"{name}.log")
