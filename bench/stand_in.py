"""Stripe's API with an hour of events and some objects: `python -m bench.stand_in EVENTS OBJECTS SINCE`."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from bench.chain import make_event
from postroom.base import json
from postroom.dev.stripe_api import StripeStandIn


def make_events(count: int, since: int) -> list[dict[str, Any]]:
    """Paid invoices, each of its own, spread over an hour from `since` on (seconds since the epoch)."""
    return [{**json.decode(make_event()), "created": since + n * 3_600 // count} for n in range(count)]


async def serve(events: int, objects: int, since: int) -> None:
    stand_in = StripeStandIn()
    for event in make_events(events, since):
        stand_in.add_event(event)
    for event in make_events(objects, since):
        stand_in.put(event["data"]["object"])
    await stand_in.start()
    print("ports", stand_in.port, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(*map(int, sys.argv[1:])))
