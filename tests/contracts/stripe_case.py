"""Stripe events through the same suite: a processed event arrives as the export that it causes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

from postroom.base.db import Pool
from postroom.channels.stripe.processor import StripeAdapter
from postroom.dev.stripe_api import Fault, StripeStandIn
from postroom.dev.stripe_events import snapshot_event
from postroom.outbox.model import Cause, Channel
from tests.contracts.adapter_case import AdapterCase, Arrival, Expected, Trouble
from tests.fixtures.stripe import Scene

ROUTES = """
[[route]]
on = "customer.updated"
fetch = true
export = { dataset = "customers", record = { text = "{{ event.data.object.name }}" } }
"""
HANDLERS = """
from pathlib import Path
from postroom import on

@on("customer.updated")
async def fussy(event, tx):
    if Path({flag!r}).exists():
        raise ValueError("somebody must mend this handler")
"""
ARRIVED = """
select e.message_id::text as id, m.payload #>> '{record,text}' as text
from postroom.stripe_event e join postroom.message m
    on m.channel = 'export' and starts_with(m.key, 'stripe:self:' || e.event_id || ':')
"""


class StripeCase(AdapterCase):
    """No answer can be lost here: an event is processed and settled in one transaction."""

    channel = Channel.STRIPE
    expected: ClassVar = {
        Trouble.PASSING: Expected("retry", "500", Cause.PASSING),
        Trouble.FINAL: Expected("retry", None, Cause.OURS),
        Trouble.SILENT: Expected("retry", None, Cause.PASSING),
    }
    rejected_payload: ClassVar[Sequence[tuple[Any, str]]] = (
        ([1], "payload"),
        ({}, "id"),
        ({"id": 7}, "id"),
        ({"id": "evt_" + "1" * 300}, "id"),
    )

    def __init__(self, pool: Pool, folder: Path) -> None:
        self._pool = pool
        self._folder = folder
        self._flag = folder / "broken"
        self._stand_in = StripeStandIn()

    async def open(self) -> None:
        await self._stand_in.start()
        self.adapter = self.make_adapter()

    def make_adapter(self) -> StripeAdapter:
        handlers = HANDLERS.format(flag=str(self._flag))
        self._scene = Scene(
            self._pool, self._folder, routes=ROUTES, handlers=handlers, stand_in=self._stand_in
        )
        return self._scene.adapter

    def payload(self, text: str) -> dict[str, Any]:
        customer = {"id": "cus_1", "object": "customer", "name": text}
        self._stand_in.put(customer)
        return snapshot_event("customer.updated", customer)

    async def publish(self, pool: Pool, text: str) -> UUID:
        return (await self._scene.receive(self.payload(text))).message_id

    async def arrivals(self) -> list[Arrival]:
        return [Arrival(**row) for row in await self._pool.fetch(ARRIVED)]

    def break_with(self, trouble: Trouble) -> None:
        match trouble:
            case Trouble.PASSING:
                self._stand_in.fail(Fault.SERVER_ERROR)
            case Trouble.FINAL:
                self._flag.touch()
            case Trouble.SILENT:
                self._stand_in.fail(Fault.HANG)
            case Trouble.LOST_ANSWER:
                raise NotImplementedError("an event is processed and settled in one transaction")

    def mend(self) -> None:
        self._stand_in.recover()
        self._flag.unlink(missing_ok=True)

    async def close(self) -> None:
        await self._scene.ingest.close()
        await self._stand_in.stop()
