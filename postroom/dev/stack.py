"""All of Postroom as processes, with its fake_services, on a database that is there."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp

from postroom.base.db import Pool, open_pool
from postroom.base.errors import Unavailable
from postroom.base.migrate import migrate
from postroom.base.schema import head
from postroom.base.settings import Settings
from postroom.dev.environment import child_environment, kept_for_shells, open_listener, stripe_secret
from postroom.dev.fake_services import FakeServices, admin_token, open_fake_services, register_receiver
from postroom.dev.log_file import LogFile
from postroom.dev.process import ChildProcess, module
from postroom.dev.screen import Screen
from postroom.encryption.keyring import keyring_of
from postroom.postgres.logins import make_logins

READY_S: Final = 60.0
POLL_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Stack:
    """What runs, and where."""

    url: str
    pool: Pool
    stripe_secret: str
    token_path: Path
    settings_path: Path
    fake_services: FakeServices
    children: tuple[ChildProcess, ...]

    async def answers(self, path: str) -> bool:
        """Whether the API has something there."""
        async with aiohttp.ClientSession() as session, session.get(self.url + path) as response:
            return response.ok

    async def wait_for_an_end(self) -> ChildProcess:
        """The first process that ends, which none should."""
        waits = {asyncio.create_task(child.wait()): child for child in self.children}
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            return waits[done.pop()]
        finally:
            for task in waits:
                task.cancel()


class ChildEnded(Unavailable):
    """A process that should run has ended; the text holds the end of its log."""

    def __init__(self, child: ChildProcess) -> None:
        super().__init__(
            f"The process {child.name} ended with status {child.exit_code}. The end of {child.log_path}:\n"
            f"{child.tail()}"
        )


@asynccontextmanager
async def open_stack(settings: Settings, dsn: str, screen: Screen) -> AsyncIterator[Stack]:
    """Start everything, in order; end it in reverse order. Ready when `/readyz` says so.

    Errors: `ChildEnded`, `Unavailable` when it is not ready within 60 s, `Conflict` for the port.
    """
    async with AsyncExitStack() as stack:
        local = settings.database_url is None
        with screen.step("migrating"):
            await migrate(dsn, roles=local)
            # A database of somebody's own may not let us make roles: its processes then sign in as we do.
            logins = await make_logins(dsn) if local else {}
        screen.done("schema", f"at {head()}")
        pool = await open_pool(dsn, connections_max=4, application="postroom up")
        stack.push_async_callback(pool.close)
        fake_services = await stack.enter_async_context(open_fake_services(settings.state_dir))
        keyring = keyring_of(settings.encryption)
        await register_receiver(pool, fake_services.receiver, keyring)
        token_path = await admin_token(pool, settings.state_dir, keyring)
        listener, secret = stack.enter_context(open_listener(settings)), stripe_secret(settings)
        port = listener.getsockname()[1]
        environment = child_environment(
            settings, dsn=dsn, port=port, secret=secret, fake_services=fake_services
        )
        settings_path = stack.enter_context(kept_for_shells(environment, settings.state_dir))
        children = await _start_children(settings.state_dir, environment, logins, listener, stack)
        host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host  # noqa: S104
        running = Stack(
            f"http://{host}:{port}", pool, secret, token_path, settings_path, fake_services, tuple(children)
        )
        with screen.step("starting the API and the runner"):
            await _wait_until_ready(running)
        for child in children:
            screen.done(child.name, f"pid {child.pid}, log {child.log_path}")
        yield running


async def _start_children(
    state_dir: Path,
    environment: Mapping[str, str],
    logins: Mapping[str, str],
    listener: socket.socket,
    stack: AsyncExitStack,
) -> list[ChildProcess]:
    """The API takes the listener over: once it is gone, callers are refused and do not wait.

    `logins`: the database as each of them signs in to it; one that is missing has the environment's.
    """
    commands = {
        "api": ("postroom", "serve", "--listener-fd", str(listener.fileno())),
        "runner": ("postroom", "work"),
    }
    with listener:
        children = [
            await ChildProcess.start(
                name,
                module(*command),
                environment={
                    **environment,
                    "POSTROOM_DATABASE_URL": logins.get(name, environment["POSTROOM_DATABASE_URL"]),
                },
                log=LogFile(state_dir / "logs" / f"{name}.log"),
                descriptors=(listener.fileno(),) if name == "api" else (),
            )
            for name, command in commands.items()
        ]
    stack.push_async_callback(_stop_all, children)
    return children


async def _stop_all(children: list[ChildProcess]) -> None:
    await asyncio.gather(*(child.stop() for child in children))


async def _wait_until_ready(running: Stack) -> None:
    try:
        async with asyncio.timeout(READY_S), aiohttp.ClientSession() as session:
            while not await _is_ready(session, running):
                for child in running.children:
                    if child.exit_code is not None:
                        raise ChildEnded(child)
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        logs = ", ".join(str(child.log_path) for child in running.children)
        raise Unavailable(f"{running.url}/readyz is not ready after {READY_S:g} s. See {logs}") from None


async def _is_ready(session: aiohttp.ClientSession, running: Stack) -> bool:
    """Whether our own API answers, and is ready."""
    token = running.token_path.read_text().strip()
    try:
        async with session.get(f"{running.url}/readyz") as response:
            if response.status != 200:
                return False
        headers = {"Authorization": f"Bearer {token}"}
        async with session.get(f"{running.url}/v1/admin/jobs/status", headers=headers) as response:
            return response.status == 200
    except aiohttp.ClientConnectionError:
        return False
