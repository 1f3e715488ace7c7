"""Small steady traffic, so that rates have something to count and effects something to do."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any, Final

import aiohttp

from drill.installation import Installation
from postroom.dev.stripe_events import encode, make_id, signed, snapshot_event

EVERY_S: Final = 0.4
JOBS_EVERY_S: Final = 7.0
PERIODIC: Final = (
    *("email-dlq", "email-bounces", "retention", "canary", "expiry", "stripe-reconcile"),
    "export-files",
)
TIMEOUT_S: Final = 5.0


class Traffic:
    """Stripe's events, and jobs asked for as often as the scaled clock wants them.

    A refusal is no error here: things are broken on purpose. Jobs named in `resting` are not asked for.
    """

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self.resting: set[str] = set()

    async def run(self) -> None:
        """Until cancelled."""
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout) as session, asyncio.TaskGroup() as group:
            group.create_task(self._send_events(session))
            group.create_task(self._ask_for_jobs(session))

    async def send(self, session: aiohttp.ClientSession, kind: str, object: dict[str, Any]) -> int:
        """One event as Stripe sends it. Returns: the status, 0 for none."""
        body = encode(snapshot_event(kind, object))
        headers = signed(body, self._installation.stripe_secret)
        url = f"{self._installation.url}/v1/stripe/webhook"
        try:
            async with session.post(url, data=body, headers=headers) as response:
                return response.status
        except (aiohttp.ClientError, TimeoutError):
            return 0

    async def _send_events(self, session: aiohttp.ClientSession) -> None:
        for number in itertools.count():
            kind, object = self._charge() if number % 4 == 0 else self._invoice(number)
            await self.send(session, kind, object)
            await asyncio.sleep(EVERY_S)

    async def _ask_for_jobs(self, session: aiohttp.ClientSession) -> None:
        headers = {"Authorization": f"Bearer {self._installation.token}"}
        while True:
            for name in PERIODIC:
                if name not in self.resting:
                    await self._ask(session, f"{self._installation.url}/v1/admin/jobs/{name}/run", headers)
            await asyncio.sleep(JOBS_EVERY_S)

    async def _ask(self, session: aiohttp.ClientSession, url: str, headers: dict[str, str]) -> None:
        try:
            async with session.post(url, headers=headers):
                pass
        except (aiohttp.ClientError, TimeoutError):
            return

    def _charge(self) -> tuple[str, dict[str, Any]]:
        charge = {"id": make_id("ch"), "object": "charge", "amount": 2900, "customer": "cus_drill"}
        self._installation.stripe.put(charge)
        return "charge.succeeded", charge

    def _invoice(self, number: int) -> tuple[str, dict[str, Any]]:
        return "invoice.paid", {
            "id": make_id("in"),
            "object": "invoice",
            "customer": "cus_drill",
            "customer_email": f"customer-{number}@example.com",
            "amount_paid": 2900,
        }
