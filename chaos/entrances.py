"""Load from every entrance. Each publisher writes down what it committed, apart from the ledger."""

from __future__ import annotations

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final
from zlib import crc32

import aiohttp
import asyncpg

from chaos.journal import Entry, Fate, Journal
from chaos.tasks import TASKS
from postroom.base import json
from postroom.base.db import DATABASE_AWAY, DATABASE_BUSY, DATABASE_FAILURES, Pool
from postroom.base.stripe_account import OWN_ACCOUNT
from postroom.dev.stripe_api import StripeStandIn
from postroom.dev.stripe_events import encode, signed, snapshot_event

TENANT: Final = "chaos"
TYPE: Final = "chaos.happened"
DATASET: Final = "chaos"
EMAIL: Final = "email"
EXPORT: Final = "export"
WEBHOOKS: Final = ("webhook/0", "webhook/1")
EVERYWHERE: Final = frozenset({EMAIL, EXPORT, *WEBHOOKS})
TASK: Final = "task"
WHERE: Final = {
    "email": frozenset({EMAIL}),
    "export": frozenset({EXPORT}),
    "webhook": frozenset(WEBHOOKS),
    "task": frozenset({TASK}),
}

UNDER_WAY_MAX: Final = 30
REQUEST_S: Final = 8.0
AGAIN_S: Final = 0.5
ROLLED_BACK_SHARE: Final = 0.25
NEVER_AGAIN_SHARE: Final = 0.5
ORDER_TABLE: Final = "create table if not exists public.chaos_order (token text primary key)"


def message_of(token: str, channel: str) -> dict[str, Any]:
    """The arguments of a publish by which the token can be told at its destination."""
    payloads: dict[str, dict[str, Any]] = {
        "email": {"to": f"{token}@example.com", "subject": "chaos", "text": "It happened."},
        "export": {"dataset": DATASET, "record": {"token": token}},
        "webhook": {"tenant": TENANT, "type": TYPE, "data": {"token": token}},
        "task": {"task": TASKS[crc32(token.encode()) % len(TASKS)], "args": {"token": token}},
    }
    return {"channel": channel, "key": token, "payload": payloads[channel]}


class Entrance(ABC):
    """Publishes at a rate until told to stop, then goes on with what is not acknowledged yet."""

    name: str

    def __init__(self, *, journal: Journal, per_s: float, seed: int) -> None:
        self.journal = journal
        self.dice = random.Random(seed)
        self._per_s = per_s
        self._count = 0
        self._under_way: set[asyncio.Task[None]] = set()
        self.stopping = asyncio.Event()

    async def run(self) -> None:
        """Until `stopping` is set."""
        while not self.stopping.is_set():
            if len(self._under_way) < UNDER_WAY_MAX:
                self._count += 1
                task = asyncio.create_task(self.publish(f"{self.name}-{self._count:06}"))
                self._under_way.add(task)
                task.add_done_callback(self._under_way.discard)
            await asyncio.sleep(self.dice.expovariate(self._per_s))

    async def finish(self) -> None:
        """Wait for what is under way. Errors: those of a publisher that is broken itself."""
        await asyncio.gather(*self._under_way)

    @abstractmethod
    async def publish(self, token: str) -> None: ...


class HttpEntrance(Entrance):
    """What both HTTP entrances share: two addresses, of which any may be down."""

    def __init__(
        self, *, journal: Journal, per_s: float, seed: int, urls: Sequence[str], client: aiohttp.ClientSession
    ) -> None:
        super().__init__(journal=journal, per_s=per_s, seed=seed)
        self._urls = urls
        self._client = client

    async def post(self, path: str, body: bytes, headers: dict[str, str]) -> int:
        """The status, or 0 when there was no answer."""
        url = self.dice.choice(self._urls) + path
        try:
            timeout = aiohttp.ClientTimeout(total=REQUEST_S)
            async with self._client.post(url, data=body, headers=headers, timeout=timeout) as answer:
                return answer.status
        except (aiohttp.ClientError, TimeoutError, OSError):
            return 0


class StripeEntrance(HttpEntrance):
    """As Stripe does: the same event again until it is acknowledged, and now and then once more."""

    name = "stripe"

    def __init__(self, *, secret: str, api: StripeStandIn, **options: Any) -> None:
        super().__init__(**options)
        self._secret = secret
        self._api = api

    async def publish(self, token: str) -> None:
        invoice = {"id": f"in_{token}", "object": "invoice", "token": token, "customer": "cus_chaos",
                   "customer_email": f"{token}@example.com"}  # fmt: skip
        event = snapshot_event("invoice.paid", invoice, event_id=f"evt_{token}")
        self._api.put(invoice)
        self.journal.open(Entry(token, self.name, "stripe", f"{OWN_ACCOUNT}:evt_{token}", EVERYWHERE))
        body = encode(event)
        while not await self._sent(body):
            await asyncio.sleep(AGAIN_S)
        self.journal.close(token, Fate.COMMITTED)
        if self.dice.random() < 0.2:
            await self._sent(body)
        if self.dice.random() < 0.2:
            # Within the same second: which one is newer can only be asked.
            await self._sent(encode(snapshot_event("invoice.updated", invoice, created=event["created"])))

    async def _sent(self, body: bytes) -> bool:
        return await self.post("/v1/stripe/webhook", body, signed(body, self._secret)) == 200


class ApiEntrance(HttpEntrance):
    """Tries a few times; what is not acknowledged then stays unknown, and is looked up in the end."""

    name = "http"

    def __init__(self, *, token: str, **options: Any) -> None:
        super().__init__(**options)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    async def publish(self, token: str) -> None:
        channel = self.dice.choice(tuple(WHERE))
        self.journal.open(Entry(token, self.name, channel, token, WHERE[channel]))
        body = json.encode(message_of(token, channel)).encode()
        while True:
            status = await self.post("/v1/events", body, self._headers)
            if status in (200, 201):
                return self.journal.close(token, Fate.COMMITTED)
            if self.stopping.is_set() or self.dice.random() < NEVER_AGAIN_SHARE:
                return None
            await asyncio.sleep(AGAIN_S)


class SqlEntrance(Entrance):
    """Publishes beside work of its own, in one transaction, of which a share is rolled back."""

    name = "sql"

    def __init__(self, *, pool: Pool, **options: Any) -> None:
        super().__init__(**options)
        self._pool = pool

    async def publish(self, token: str) -> None:
        roll_back = self.dice.random() < ROLLED_BACK_SHARE
        messages = {
            f"{token}-{n}": self.dice.choice(tuple(WHERE)) for n in range(self.dice.choice((1, 1, 3)))
        }
        for each, channel in messages.items():
            self.journal.open(Entry(each, self.name, channel, each, WHERE[channel]))
        fate = Fate.UNKNOWN
        try:
            async with asyncio.timeout(REQUEST_S * 2), self._pool.acquire() as conn:
                transaction = conn.transaction()
                await transaction.start()
                try:
                    await self._work(conn, token, messages)
                    await (transaction.rollback() if roll_back else transaction.commit())
                except asyncpg.PostgresError:
                    with suppress(*DATABASE_FAILURES):
                        await transaction.rollback()
                    raise
                fate = Fate.ROLLED_BACK if roll_back else Fate.COMMITTED
        except (*DATABASE_AWAY, *DATABASE_BUSY, asyncpg.PostgresError):
            # Whether the commit was done is not known; a rollback that failed is one all the same.
            fate = Fate.ROLLED_BACK if roll_back else Fate.UNKNOWN
        for each in messages:
            self.journal.close(each, fate)

    async def _work(self, conn: Any, token: str, messages: dict[str, str]) -> None:
        await conn.execute("insert into public.chaos_order (token) values ($1)", token)
        for each, channel in messages.items():
            message = message_of(each, channel)
            await conn.execute(
                "select postroom.publish($1, $2::jsonb, key => $3, ordering_key => $4)",
                channel, json.encode(message["payload"]), each,
                f"chaos-{self.dice.randrange(10)}" if self.dice.random() < 0.2 else None,
            )  # fmt: skip
