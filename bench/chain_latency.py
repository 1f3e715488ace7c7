"""How long the main job takes: from Stripe's bytes at the door to the receiver's, idle and at half load."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from statistics import quantiles
from typing import Final

import aiohttp
from aiohttp import web

from bench.chain import Installation, make_event, open_installation
from bench.report import Report
from bench.service import SECRET
from bench.stage import Stage
from postroom.dev.stripe_events import signed

IDLE_COUNT: Final = 200
IDLE_PAUSE_S: Final = 0.05
HALF_COUNT: Final = 2_000
HALF_PER_S: Final = 300.0
"""Half of what the chain is to take on two cores; where this run has measured it, half of that."""
WITHIN_S: Final = 60.0


class Receiver:
    """Takes every webhook, and knows when the one about an object came."""

    def __init__(self) -> None:
        self.came: dict[str, asyncio.Future[float]] = {}

    async def take(self, request: web.Request) -> web.Response:
        now = time.perf_counter()
        arrived = self.came.get(json.loads(await request.read())["data"]["id"])
        if arrived is not None and not arrived.done():
            arrived.set_result(now)
        return web.Response()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        application = web.Application()
        application.router.add_post("/", self.take)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
        finally:
            await runner.cleanup()


async def measure_chain_latency(stage: Stage, report: Report) -> None:
    """`chain_latency_ms` one event after the other; `chain_latency_half_ms` at half of the chain's rate."""
    receiver = Receiver()
    async with (
        receiver.open() as url,
        open_installation(stage, receiver=url) as installation,
        aiohttp.ClientSession() as session,
    ):
        idle = []
        for _ in range(IDLE_COUNT):
            idle.append(await _time(session, installation, receiver))
            await asyncio.sleep(IDLE_PAUSE_S)
        half_per_s = report.figures.get("chain_events_per_s", 2 * HALF_PER_S) / 2
        half = await _paced(session, installation, receiver, half_per_s)
    for key, times_ms in (("chain_latency_ms", idle), ("chain_latency_half_ms", half)):
        cuts = quantiles(times_ms, n=100)
        report.put(f"{key}_p50", cuts[49])
        report.put(f"{key}_p99", cuts[98])


async def _paced(
    session: aiohttp.ClientSession, installation: Installation, receiver: Receiver, per_s: float
) -> list[float]:
    """As many a second, whatever the last ones took."""
    started, tasks = time.perf_counter(), []
    for number in range(HALF_COUNT):
        tasks.append(asyncio.create_task(_time(session, installation, receiver)))
        await asyncio.sleep(max(0.0, started + (number + 1) / per_s - time.perf_counter()))
    return await asyncio.gather(*tasks)


async def _time(session: aiohttp.ClientSession, installation: Installation, receiver: Receiver) -> float:
    """Milliseconds from the first byte sent until the webhook is there."""
    body = make_event()
    arrived = receiver.came[json.loads(body)["data"]["object"]["id"]] = (
        asyncio.get_running_loop().create_future()
    )
    headers = {"Content-Type": "application/json", **signed(body, SECRET)}
    started = time.perf_counter()
    async with asyncio.timeout(WITHIN_S):
        async with session.post(
            f"{installation.url}/v1/stripe/webhook", data=body, headers=headers
        ) as answer:
            answer.raise_for_status()
        came: float = await arrived
    return (came - started) * 1e3
