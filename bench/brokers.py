"""A row about brokers: the real adapter and engine over a bare producer of the same library."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final
from uuid import uuid4

import nats
from pydantic import SecretStr

from bench.channels import publish_to, webhook_request
from bench.engine import open_engine
from bench.report import Report
from bench.stage import Stage
from chaos.nats_cluster import LOGIN, NatsCluster
from postroom.base.clock import SystemClock
from postroom.base.db import Pool
from postroom.base.settings import WebhookSettings
from postroom.channels.webhooks.adapter import WebhookAdapter

COUNT: Final = 20_000
IN_FLIGHT: Final = 100
STREAM: Final = "ORDERS"
PLACE: Final = "orders.eu"


async def measure_brokers(stage: Stage, report: Report, *, rounds: int) -> None:
    """`broker_over_bare`: one server with JetStream on a disk, as many messages in flight on each side."""
    ratios = []
    with TemporaryDirectory() as folder:
        server = NatsCluster(Path(folder), nodes=1)
        server.start(0)
        try:
            await server.make_stream(STREAM, "orders.>")
            for _ in range(rounds):
                bare = await _publish_bare(server.ports[0])
                ratios.append(await _deliver(stage, server.ports[0]) / bare)
        finally:
            server.stop()
    report.put("broker_over_bare", median(ratios), spread=ratios)


async def _publish_bare(port: int) -> float:
    """The library's own way to publish and wait for the acknowledgement. Returns: messages a second."""
    user, password = LOGIN.split(":")
    client = await nats.connect(f"nats://127.0.0.1:{port}", user=user, password=password)
    stream, body, left = client.jetstream(), webhook_request()[0], iter(range(COUNT))

    async def publish() -> None:
        for _ in left:
            await stream.publish(PLACE, body, headers={"Nats-Msg-Id": str(uuid4())}, timeout=30)

    started = time.perf_counter()
    await asyncio.gather(*(publish() for _ in range(IN_FLIGHT)))
    rate = COUNT / (time.perf_counter() - started)
    await client.close()
    return rate


async def _deliver(stage: Stage, port: int) -> float:
    """Claimed, sent, acknowledged and settled. Returns: deliveries a second."""
    allowed = {f"nats://127.0.0.1:{port}": ["*"]}

    def adapter(pool: Pool) -> WebhookAdapter:
        settings = WebhookSettings(allow_private=True, connections_per_host=IN_FLIGHT, brokers=allowed)
        return WebhookAdapter(pool=pool, clock=SystemClock(), settings=settings)

    dsn = await stage.database()
    async with open_engine(dsn, adapter) as engine:
        url = f"nats://127.0.0.1:{port}/{PLACE}"
        await publish_to(engine.pool, [url], COUNT, secret=SecretStr(LOGIN), brokers=allowed)
        rate = await engine.drain()
        if left := await engine.pool.fetchval("select count(*) from postroom.delivery"):
            raise RuntimeError(f"{left} messages were not delivered")
    await stage.drop(dsn)
    return rate
