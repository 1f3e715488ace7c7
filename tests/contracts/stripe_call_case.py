"""Calls to Stripe through the same suite: what the stand-in has done is what arrived."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from postroom.base.db import Pool
from postroom.channels.stripe.calls import StripeCallAdapter
from postroom.dev.stripe_api import Fault, StripeStandIn
from postroom.dev.stripe_calls import Moment
from postroom.outbox.model import Cause, Channel
from tests.contracts.adapter_case import AdapterCase, Arrival, Expected, Trouble
from tests.fixtures.stripe_calls import call_adapter

REFUNDS = "/v1/refunds"


class StripeCallCase(AdapterCase):
    channel = Channel.STRIPE_API
    expected: ClassVar = {
        Trouble.PASSING: Expected("retry", "500", Cause.PASSING),
        Trouble.FINAL: Expected("rejected", "charge_disputed", Cause.PERMANENT),
        Trouble.LOST_ANSWER: Expected("retry", None, Cause.PASSING),
        Trouble.SILENT: Expected("retry", None, Cause.PASSING),
    }
    rejected_payload: ClassVar[Sequence[tuple[Any, str]]] = (
        ([1], "payload"),
        ({"path": REFUNDS}, "method"),
        ({"method": "GET", "path": REFUNDS}, "method"),
        ({"method": "POST"}, "path"),
        ({"method": "POST", "path": "https://example.com/v1/refunds"}, "path"),
        ({"method": "POST", "path": "//example.com/v1/refunds"}, "path"),
        ({"method": "POST", "path": "/v1/../v3/refunds"}, "path"),
        ({"method": "POST", "path": "/v1/%2e%2e/refunds"}, "path"),
        ({"method": "POST", "path": "/v1/refunds?expand[]=charge"}, "path"),
        ({"method": "POST", "path": "/v3/refunds"}, "path"),
        ({"method": "POST", "path": REFUNDS, "params": [1]}, "params"),
        (
            {"method": "POST", "path": REFUNDS, "params": {"stripe_account": "acct_1"}},
            "params.stripe_account",
        ),
        ({"method": "POST", "path": REFUNDS, "params": {"self": "cus_1"}}, "params.self"),
        ({"method": "POST", "path": REFUNDS, "account": "us"}, "account"),
        ({"method": "POST", "path": REFUNDS, "account": "cus_1"}, "account"),
        ({"method": "POST", "path": REFUNDS, "parms": {}}, "parms"),
    )

    def __init__(self, pool: Pool, _folder: Path) -> None:
        self._pool = pool
        self._stand_in = StripeStandIn()

    async def open(self) -> None:
        await self._stand_in.start()
        self.adapter = self.make_adapter()

    def make_adapter(self) -> StripeCallAdapter:
        return call_adapter(self._pool, self._stand_in)

    def payload(self, text: str) -> dict[str, Any]:
        return {"method": "POST", "path": REFUNDS, "params": {"charge": "ch_1", "metadata": {"text": text}}}

    async def arrivals(self) -> list[Arrival]:
        return [
            Arrival((each.key or "")[:36], each.params["metadata"]["text"])
            for each in self._stand_in.calls.done
        ]

    def break_with(self, trouble: Trouble) -> None:
        match trouble:
            case Trouble.PASSING:
                self._stand_in.fail(Fault.SERVER_ERROR)
            case Trouble.FINAL:
                self._stand_in.calls.declines[REFUNDS] = "charge_disputed"
            case Trouble.LOST_ANSWER:
                self._stand_in.calls.hold = Moment.AFTER
            case Trouble.SILENT:
                self._stand_in.fail(Fault.HANG)

    def mend(self) -> None:
        self._stand_in.recover()
        self._stand_in.calls.declines.clear()
        self._stand_in.calls.let_go()

    async def close(self) -> None:
        await self._stand_in.stop()
