"""Everything a Stripe event passes through, for real but for the engine's loop."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from postroom.base import json
from postroom.base.clock import SystemClock
from postroom.base.db import Pool, Record, transaction
from postroom.base.settings import StripeSettings
from postroom.channels.stripe.client import StripeApi
from postroom.channels.stripe.current import CurrentObjects
from postroom.channels.stripe.ingest import Ingest, Received
from postroom.channels.stripe.loader import load_effects
from postroom.channels.stripe.processor import StripeAdapter
from postroom.dev.stripe_api import StripeStandIn
from postroom.dev.stripe_events import encode, signed
from postroom.outbox import policy
from postroom.outbox.model import Answer, Claim, Settled
from postroom.outbox.store import claim_due, settle_claims
from postroom.resilience.backoff import Exponential
from postroom.resilience.circuits import Circuits

SECRET = "whsec_scene_secret"
WORKER = 7
BACKOFF = Exponential(attempts_max=3)


def at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


class Scene:
    """Ingest, adapter and stand-in on one database. `work` does what the engine would."""

    def __init__(
        self,
        pool: Pool,
        folder: Path,
        *,
        routes: str = "",
        handlers: str = "",
        stand_in: StripeStandIn | None = None,
        livemode: bool | None = None,
    ) -> None:
        self.pool = pool
        self.settings = StripeSettings(
            webhook_secrets=(SecretStr(SECRET),),
            api_key=None if stand_in is None else SecretStr("sk_test_scene"),
            api_base="http://127.0.0.1:1" if stand_in is None else stand_in.url,
            livemode=livemode,
            timeout_s=2.0,
        )
        (folder / "routes.toml").write_text(routes, encoding="utf-8")
        (folder / "handlers.py").write_text(handlers, encoding="utf-8")
        clock = SystemClock()
        self.ingest = Ingest(pool=pool, settings=self.settings, clock=clock, worker=WORKER)
        self.circuits = Circuits(pool=pool, clock=clock, worker=WORKER)
        self.api = StripeApi(self.settings)
        self.current = CurrentObjects(api=self.api, circuits=self.circuits)
        self.adapter = StripeAdapter(
            pool=pool,
            settings=self.settings,
            clock=clock,
            current=self.current,
            effects=load_effects(routes=folder / "routes.toml", handlers=folder / "handlers.py", checks={}),
        )

    async def receive(self, event: Mapping[str, Any]) -> Received:
        body = encode(event)
        return await self.ingest.receive(body, signed(body, SECRET)["Stripe-Signature"])

    async def claim(self) -> list[Claim]:
        async with transaction(self.pool) as conn:
            return await claim_due(conn, channel="stripe", worker=WORKER, first_max=100, retry_max=100)

    async def deliver(self, claim: Claim) -> Answer:
        """Deliver and settle as the engine does."""
        answer = await self.adapter.deliver(claim)
        if not isinstance(answer, Settled):
            settlement = policy.settle(answer, attempts=claim.attempts, backoff=BACKOFF, jitter=0.0)
            async with transaction(self.pool) as conn:
                assert not await settle_claims(conn, [(claim, settlement, 1)])
        return answer

    async def work(self) -> list[Answer]:
        """Deliver until nothing is due."""
        answers: list[Answer] = []
        while claims := await self.claim():
            for claim in claims:
                answers.append(await self.deliver(claim))
        return answers

    async def pass_time(self) -> None:
        """Everything that waits is due now, breakers included."""
        await self.pool.execute("update postroom.delivery set due_at = now() where due_at <> 'infinity'")
        await self.pool.execute("update postroom.circuit set retry_at = now() where retry_at is not null")
        await self.circuits.listed()

    async def process(self, event: Mapping[str, Any]) -> list[Answer]:
        await self.receive(event)
        return await self.work()

    async def row(self, sql: str, *values: object) -> Record:
        row: Record | None = await self.pool.fetchrow(sql, *values)
        assert row is not None
        return row

    async def count(self, outcome: str) -> int:
        """`stripe_webhook_events_total` of one outcome."""
        return int(
            await self.pool.fetchval(
                "select coalesce(sum(value), 0) from postroom.tally "
                "where name = 'stripe_outcome' and label = $1",
                outcome,
            )
        )

    async def sent(self, channel: str = "export") -> list[dict[str, Any]]:
        """Payloads published on an outbound channel, oldest first."""
        rows = await self.pool.fetch(
            "select payload #>> '{}' as payload from postroom.message where channel = $1 order by id", channel
        )
        return [json.decode(row["payload"]) for row in rows]

    async def state(self, event_id: str) -> str:
        state: str = await self.pool.fetchval(
            "select state from postroom.stripe_event where event_id = $1", event_id
        )
        return state

    async def mirror(self, object_id: str) -> dict[str, Any]:
        row = await self.row(
            "select data #>> '{}' as data, deleted, fetched, as_of, event_id "
            "from postroom.stripe_object where object_id = $1",
            object_id,
        )
        return {**row, "data": json.decode(row["data"])}

    async def close(self) -> None:
        await self.ingest.close()
        await self.adapter.close()
