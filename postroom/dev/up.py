"""`postroom up`: everything in one terminal, until Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from postroom.base.db import transaction
from postroom.base.errors import InvalidInput
from postroom.base.settings import Settings
from postroom.console.access.sign_in_link import create_sign_in_link
from postroom.dev.demo_events import send_demo
from postroom.dev.fake_services import TENANT
from postroom.dev.screen import Screen
from postroom.dev.stack import ChildEnded, Stack, open_stack
from postroom.dev.timeline import Timeline
from postroom.encryption.keyring import keyring_of
from postroom.health.instance import only_one
from postroom.postgres.resolve import ResolvedDatabase, resolve

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PAUSE_S: Final = 0.4

Work = Callable[[Stack], Awaitable[int]]


def run_up(settings: Settings, *, demo: bool) -> int:
    """Run until a signal. Returns: 0 after one. Errors: `AlreadyUp`, and what starting raises."""
    if settings.prod:
        raise InvalidInput(
            "postroom up is for development. With POSTROOM_ENV=prod run its parts: postroom migrate, "
            "postroom serve, postroom work"
        )
    screen = Screen()
    with only_one(settings.state_dir) as holder, start_database(settings, screen) as database:

        async def work(stack: Stack) -> int:
            holder.tell(stack.url)
            return await _show(stack, settings, screen, demo=demo)

        return asyncio.run(run_stack(settings, database.dsn, screen, work, stopped=0))


def start_database(settings: Settings, screen: Screen) -> ResolvedDatabase:
    """The database that was named, or a local one."""
    url = settings.database_url.get_secret_value() if settings.database_url else None
    with screen.step("starting PostgreSQL"):
        database = resolve(database_url=url, state_dir=settings.state_dir)
    if database.server is None:
        screen.done("database", "the one in POSTROOM_DATABASE_URL")
    else:
        how = "started" if database.origin == "started" else "already running"
        folder = settings.state_dir / "postgres"
        where = f"{database.server.where} (in {folder})"
        screen.done("database", f"PostgreSQL {database.server.version}, {how}, {where}")
    return database


async def run_stack(settings: Settings, dsn: str, screen: Screen, work: Work, *, stopped: int) -> int:
    """Open the stack, do the work, close the stack; a signal ends the work early with the code `stopped`."""

    async def whole() -> int:
        async with open_stack(settings, dsn, screen) as stack:
            return await _unless_a_process_ends(stack, work)

    return await _unless_signalled(whole(), screen, stopped)


async def _unless_signalled(whole: Coroutine[Any, Any, int], screen: Screen, stopped: int) -> int:
    asked = asyncio.Event()
    for number in SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, asked.set)
    task, waiting = asyncio.create_task(whole), asyncio.create_task(asked.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if not task.done():
        screen.say("\nstopping: what is under way is finished or handed back")
        task.cancel()
        await asyncio.wait({task})
        if task.cancelled():
            return stopped
    return task.result()


async def _unless_a_process_ends(stack: Stack, work: Work) -> int:
    task, watching = asyncio.ensure_future(work(stack)), asyncio.create_task(stack.wait_for_an_end())
    try:
        await asyncio.wait({task, watching}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ChildEnded(watching.result())
    finally:
        task.cancel()
        watching.cancel()
        await asyncio.gather(task, watching, return_exceptions=True)


async def _show(stack: Stack, settings: Settings, screen: Screen, *, demo: bool) -> int:
    await show_addresses(stack, settings, screen)
    timeline = Timeline(pool=stack.pool, console=screen.console, since=datetime.now(UTC))
    following = asyncio.create_task(timeline.follow())
    try:
        if demo:
            await send_demo(stack, timeline, pause_s=PAUSE_S)
        await following
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    return 0


async def show_addresses(stack: Stack, settings: Settings, screen: Screen) -> None:
    """Where to look next."""
    exports = settings.exports.url or str(settings.state_dir / "exports")
    mail = (
        "sent through your mail server"
        if settings.email.all_routes()
        else f"{stack.fake_services.mail_folder}/*.eml"
    )
    ledger = f'curl -H "Authorization: Bearer $(cat {stack.token_path})" {stack.url}/v1/admin/outbox'
    screen.say()
    screen.row("probes", f"{stack.url}/healthz  {stack.url}/readyz")
    screen.row("metrics", f"{stack.url}/metrics")
    if await stack.answers("/console"):
        screen.row("console", f"{stack.url}/console  token in {stack.token_path}")
        async with transaction(stack.pool) as conn:
            link = await create_sign_in_link(conn, stack.url, keyring=keyring_of(settings.encryption))
        screen.row("", f"{link}  signs in once")
    screen.row("ledger", ledger)
    screen.row("mails", mail)
    screen.row("webhooks", f"to {stack.fake_services.receiver.url()} for the tenant {TENANT}")
    screen.row("exports", exports)
    screen.row("routes", str(settings.routes or "the demo's; POSTROOM_ROUTES names a file of yours"))
    screen.row("Stripe", f"{stack.url}/v1/stripe/webhook")
    screen.row(
        "SQL", "select postroom.publish(…) in your own transaction: your tables belong in this database"
    )
    screen.row("settings", f"set -a; . {stack.settings_path}; set +a   gives another terminal what runs here")
    screen.row("doctor", f"{Path(sys.executable).with_name('postroom')} doctor")
    screen.say()
