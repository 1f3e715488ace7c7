"""The running product for the console's tests: API, runner, mail catcher, receivers, real traffic."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from postroom.admin.tokens import Scope
from postroom.base.db import transaction
from postroom.base.email_settings import EmailSettings
from postroom.base.export_settings import ExportSettings
from postroom.base.settings import Settings, WebhookSettings
from postroom.base.stripe_settings import StripeSettings
from postroom.channels.webhooks import endpoints
from postroom.console.access.sign_in_link import create_sign_in_link
from postroom.dev.mailbox import Mailbox
from postroom.dev.receiver import Receiver
from postroom.encryption.keyring import NO_KEYS
from postroom.jobs.catalog import catalog
from postroom.outbox.model import Message
from postroom.outbox.publish import publish_many
from postroom.wiring import WorkerServices, open_worker
from postroom.worker.loop import Runner
from tests.fixtures.api import Api, running_api
from tests.fixtures.roles import as_role

HOSTILE = "<script>document.title='owned'</script>\u202egnirts\u202c 🧨 \" onload='x' {{7*7}}"
STRIPE_SECRET = "whsec_console_test"


@dataclass(slots=True)
class Scene:
    """What runs. `good` and `broken` are receivers of the tenants `acme` and `globex`."""

    api: Api
    worker: WorkerServices
    mailbox: Mailbox
    good: Receiver
    broken: Receiver

    @property
    def url(self) -> str:
        return str(self.api.client._base_url).rstrip("/")

    async def publish(self, messages: list[Message]) -> list[str]:
        async with transaction(self.api.pool) as conn:
            return [str(each.id) for each in await publish_many(conn, messages)]

    async def webhooks(self, tenant: str, count: int, type_: str = "invoice.paid") -> list[str]:
        payload = {"tenant": tenant, "type": type_, "data": {"amount": 4200}}
        return await self.publish(
            [Message(channel="webhook", payload=payload, key=f"{tenant}:{type_}:{n}") for n in range(count)]
        )

    async def let_die(self, count: int) -> None:
        """As if all tries but the last were over for what failed once; the engine then buries it."""
        await self.wait_for("select count(*) from postroom.delivery where state = 'retry'", count)
        await self.api.pool.execute(
            "update postroom.delivery set attempts = 7, due_at = now() where state = 'retry'"
        )
        await self.wait_for("select count(*) from postroom.delivery where state = 'retry'", 0)

    async def link(self, *scopes: Scope) -> str:
        async with transaction(self.api.pool) as conn:
            return await create_sign_in_link(conn, self.url, scopes or tuple(Scope), keyring=NO_KEYS)

    async def wait_for(self, statement: str, wanted: Any, *, timeout_s: float = 20.0) -> None:
        """Until the statement's first value is the wanted one."""
        found = None
        try:
            async with asyncio.timeout(timeout_s):
                while (found := await self.api.pool.fetchval(statement)) != wanted:
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"{statement}: {found}, not {wanted}") from None


@asynccontextmanager
async def running_product(dsn: str, state_dir: Path) -> AsyncIterator[Scene]:
    """API and runner on one database, with everything around them, until left."""
    async with AsyncExitStack() as stack:
        mailbox = Mailbox()
        await mailbox.start()
        stack.push_async_callback(mailbox.close)
        good = await stack.enter_async_context(Receiver())
        broken = await stack.enter_async_context(Receiver(behaviour="status/404"))
        settings = Settings(
            state_dir=state_dir,
            email=EmailSettings(url=SecretStr(f"smtp://{mailbox.host}:{mailbox.port}")),
            webhook=WebhookSettings(allow_private=True),
            stripe=StripeSettings(webhook_secrets=(SecretStr(STRIPE_SECRET),)),
            exports=ExportSettings(roll_s=0),
        )
        api = await stack.enter_async_context(running_api(dsn, settings))
        worker = await stack.enter_async_context(
            open_worker(settings, as_role(dsn, "runner"), role="jobs-runner")
        )
        stop = asyncio.Event()
        services = worker.services
        runner = Runner(
            pool=services.pool, clock=services.clock, worker=worker.worker, wakeup=worker.wakeup,
            jobs=list(catalog(worker).values()),
        )  # fmt: skip
        running = asyncio.create_task(runner.run(stop))
        scene = Scene(api, worker, mailbox, good, broken)
        async with transaction(api.pool) as conn:
            for tenant, receiver in (("acme", good), ("globex", broken)):
                made = await endpoints.create_endpoint(
                    conn, tenant=tenant, url=receiver.url(), allow_private=True
                )
                receiver.secrets.append(made.secret.get_secret_value())
        try:
            yield scene
        finally:
            stop.set()
            await running
