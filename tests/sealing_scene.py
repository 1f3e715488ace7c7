"""A running product with keys, and a look at every byte that its database holds."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from postroom.base import json
from postroom.base.db import Pool
from postroom.base.settings import (
    EmailSettings,
    EncryptionSettings,
    ExportSettings,
    Settings,
    StripeSettings,
    WebhookSettings,
)
from postroom.dev.mailbox import Mailbox
from postroom.dev.receiver import Receiver
from postroom.dev.stripe_events import encode, signed
from postroom.jobs.catalog import catalog
from postroom.wiring import open_worker
from postroom.worker.model import JobContext

OLD, NEW = (f"{name}:{base64.b64encode(name.encode() * 8).decode()}" for name in ("key1", "key2"))
STRIPE_SECRET = "whsec_sealing_scene"
ROUTES = """
[[route]]
on = "invoice.paid"
email = { template = "receipt", to = "{{ object.customer_email }}" }
export = { dataset = "invoices" }
webhook = { tenant = "acme", type = "invoice.paid" }
"""
HANDLERS = """
from postroom.stripe.handlers import on

@on("invoice.paid")
async def more(event, tx):
    await tx.publish(channel="export", payload={"dataset": "more", "record": event.object})
"""
TABLES = """
select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = 'postroom' and c.relkind in ('r', 'p') order by 1"""


def keys(*texts: str) -> EncryptionSettings:
    return EncryptionSettings(keys=",".join(texts))  # type: ignore[arg-type]


class Product:
    """Mail server, receiver, storage and settings; `run` does what the jobs would do."""

    def __init__(self, dsn: str, folder: Path, mailbox: Mailbox, receiver: Receiver) -> None:
        self.dsn = dsn
        self.folder = folder
        self.mailbox = mailbox
        self.receiver = receiver
        (folder / "routes.toml").write_text(ROUTES)
        (folder / "handlers.py").write_text(HANDLERS)

    def settings(self, *texts: str) -> Settings:
        return Settings(
            state_dir=self.folder,
            stripe=StripeSettings(webhook_secrets=(SecretStr(STRIPE_SECRET),)),
            email=EmailSettings(url=SecretStr(f"smtp://127.0.0.1:{self.mailbox.port}")),
            webhook=WebhookSettings(allow_private=True),
            exports=ExportSettings(url=f"file://{self.folder}/out"),
            routes=self.folder / "routes.toml",
            handlers=self.folder / "handlers.py",
            encryption=keys(*texts),
        )

    async def run(self, *jobs: str, keys: tuple[str, ...] = ()) -> None:
        """Run jobs once each, with these keys."""
        async with open_worker(self.settings(*keys), self.dsn, role="test") as parts:
            known = catalog(parts)
            for name in jobs:
                await known[name].run(JobContext(once=True))


@asynccontextmanager
async def product(dsn: str, folder: Path) -> AsyncIterator[Product]:
    mailbox = Mailbox()
    await mailbox.start()
    try:
        async with Receiver() as receiver:
            yield Product(dsn, folder, mailbox, receiver)
    finally:
        await mailbox.close()


def stripe_event(event_id: str, object_: dict[str, Any]) -> tuple[bytes, dict[str, str]]:
    event = {
        "id": event_id, "object": "event", "type": "invoice.paid", "created": 1_760_000_000,
        "livemode": False, "api_version": "2025-01-01", "data": {"object": object_},
    }  # fmt: skip
    body = encode(event)
    return body, signed(body, STRIPE_SECRET)


async def places_of(pool: Pool, planted: str) -> set[str]:
    """Tables that hold a text, as it is, as hexadecimal bytes, or in base64 at any of its three offsets."""
    raw = planted.encode()
    forms = [planted, raw.hex(), json.encode(planted)[1:-1]]
    for offset in range(3):
        # The first and last characters of a base64 text depend on its neighbours.
        forms.append(base64.b64encode(b"\x00" * offset + raw).decode()[4:-4])
    found = set()
    for row in await pool.fetch(TABLES):
        table = row["relname"]
        texts = [line["t"] for line in await pool.fetch(f'select x::text as t from postroom."{table}" x')]
        if any(form in text for text in texts for form in forms):
            found.add(table)
    return found
