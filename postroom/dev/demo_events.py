"""Six events of a subscription's life, sent as Stripe would: signed, one twice, two in the wrong order."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
from rich.text import Text

from postroom.base.errors import Unavailable
from postroom.dev.stack import Stack
from postroom.dev.stripe_events import encode, signed, subscription_life
from postroom.dev.timeline import Timeline
from postroom.outbox.model import Channel

CUSTOMER: Final = "camille@example.com"
TIMEOUT_S: Final = 10.0
TYPE_WIDTH: Final = 34

EFFECTS: Final[Mapping[str, tuple[Channel, ...]]] = {
    "customer.created": (Channel.EMAIL, Channel.WEBHOOK, Channel.EXPORT),
    "customer.subscription.created": (Channel.WEBHOOK, Channel.EXPORT),
    "invoice.paid": (Channel.EMAIL, Channel.WEBHOOK, Channel.EXPORT),
    "customer.subscription.updated": (Channel.WEBHOOK, Channel.EXPORT),
    "invoice.payment_failed": (Channel.EMAIL, Channel.WEBHOOK, Channel.EXPORT),
    "customer.subscription.deleted": (Channel.EMAIL, Channel.WEBHOOK, Channel.EXPORT),
}
"""What each event must cause, written apart from the routes, so that each proves the other."""


@dataclass(frozen=True, slots=True)
class Sending:
    """One POST. `note`: what is special about it."""

    event: dict[str, Any]
    note: str = ""


def sendings() -> list[Sending]:
    """In the order in which they are sent."""
    customer, created, paid, updated, failed, deleted = subscription_life(email=CUSTOMER)
    return [
        Sending(customer),
        Sending(updated, "sent before the creation it follows"),
        Sending(created, "late"),
        Sending(paid),
        Sending(paid, "sent a second time"),
        Sending(failed),
        Sending(deleted),
    ]


async def send_demo(stack: Stack, timeline: Timeline, *, pause_s: float) -> list[dict[str, Any]]:
    """Send them to the running API. Returns: the six events. Errors: `Unavailable` when one is refused."""
    sent: dict[str, dict[str, Any]] = {}
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        for sending in sendings():
            await _send(stack, session, timeline, sending)
            sent[sending.event["id"]] = sending.event
            await asyncio.sleep(pause_s)
    return list(sent.values())


async def _send(stack: Stack, session: aiohttp.ClientSession, timeline: Timeline, sending: Sending) -> None:
    event = sending.event
    # Stripe itself would know the object's state; the routes may ask for it.
    stack.fake_services.stripe.put(event["data"]["object"])
    body = encode(event)
    headers = signed(body, stack.stripe_secret)
    async with session.post(f"{stack.url}/v1/stripe/webhook", data=body, headers=headers) as response:
        if response.status != 200:
            raise Unavailable(
                f"the API answered {response.status} to {event['type']}: {await response.text()}"
            )
        duplicate = (await response.json())["duplicate"]
    said = f"{response.status}, known: nothing happens twice" if duplicate else f"{response.status}"
    timeline.say(
        Text.assemble(
            ("POST      ", "dim"),
            f"{event['type']:{TYPE_WIDTH}}",
            (f"{event['id']}  ", "dim"),
            said,
            (f"  ({sending.note})" if sending.note else "", "italic"),
        )
    )
