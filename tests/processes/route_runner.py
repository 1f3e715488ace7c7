"""A runner of mail whose only route has a rate.

`python -m tests.processes.route_runner DSN PORT PER_SECOND`; it runs until it is killed.
"""

from __future__ import annotations

import asyncio
import sys

from postroom.base.clock import SystemClock
from postroom.base.db import open_pool
from postroom.base.email_settings import EmailSettings
from postroom.channels.email.adapter import EmailAdapter
from postroom.worker.model import JobContext
from tests.fixtures.engine import AdapterEngine
from tests.fixtures.roles import pool_as


async def run(dsn: str, port: str, per_second: float) -> None:
    route = {"url": f"smtp://127.0.0.1:{port}", "per_second": per_second}
    settings = EmailSettings.model_validate({"from": "shop@shop.example", "routes": {"ses": route}})
    pool = await open_pool(dsn)
    adapter = EmailAdapter(settings=settings, pool=pool_as(pool, "runner"), clock=SystemClock())
    engine = await AdapterEngine(dsn, pool, adapter).start()
    beating = asyncio.create_task(engine.worker.beating())
    await engine.relay.run(JobContext())
    beating.cancel()


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], sys.argv[2], float(sys.argv[3])))
