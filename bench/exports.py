"""Rows about exports: the real adapter and engine over a bare writer of the same files.

The bare writer reads the same records from the same table, all at once, formats them by the same code and
puts as many files durably into a folder, one after the other. It claims, settles and remembers nothing.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final
from uuid import uuid4

from bench.engine import PUBLISH_MANY, Engine, open_engine
from bench.report import Report
from bench.stage import Stage
from postroom.base.clock import SystemClock
from postroom.base.db import Pool
from postroom.base.export_settings import ExportSettings
from postroom.base.json import encode
from postroom.channels.exports import ndjson
from postroom.channels.exports.adapter import ExportAdapter
from postroom.channels.exports.folder import FolderStorage
from postroom.channels.exports.model import ExportRecord
from postroom.worker.model import JobContext

COUNTS: Final = {1: 100_000, 200: 40_000}
"""Records, by tenants."""
FILE: Final = 20_000
"""Records of a file of one tenant."""
READ_ALL: Final = (
    """select id, type, tenant, created_at, payload ->> 'record' from postroom.message order by tenant, id"""
)
CLOSE: Final = (
    "update postroom.export_file set closes_at = now() where closes_at is not null",
    "update postroom.delivery set due_at = now()",
)
"""The end of the window, for whoever compares with the database's clock."""


async def measure_exports(stage: Stage, report: Report, *, rounds: int) -> None:
    """`export_over_bare`: five large files. `export_tenants_over_bare`: a file for each of 200 tenants."""
    for name, tenants in zip(("export_over_bare", "export_tenants_over_bare"), COUNTS, strict=True):
        ratios = []
        for _ in range(rounds):
            bare, exported = await _measure(stage, tenants)
            ratios.append(exported / bare)
        report.put(name, median(ratios), spread=ratios)


async def _write_bare(pool: Pool, tenants: int) -> float:
    """As NDJSON, gzip, durably in a folder, file after file. Returns: records a second."""
    count = COUNTS[tenants]
    size = FILE if tenants == 1 else count // tenants
    with TemporaryDirectory() as folder:
        storage = FolderStorage(Path(folder))
        started = time.perf_counter()
        records = [ExportRecord(*row) for row in await pool.fetch(READ_ALL)]
        for start in range(0, count, size):
            content = await asyncio.to_thread(ndjson.compress, records[start : start + size])
            await storage.put(f"invoices/t{start}/{start}.ndjson.gz", content)
        return count / (time.perf_counter() - started)


async def _measure(stage: Stage, tenants: int) -> tuple[float, float]:
    """Exported: delivered once the manifest lists them. Returns: records a second of both."""
    dsn = await stage.database()
    with TemporaryDirectory() as folder:

        def adapter(pool: Pool) -> ExportAdapter:
            settings = ExportSettings(url=f"file://{folder}/exports")
            clock = SystemClock()
            return ExportAdapter(pool=pool, clock=clock, settings=settings, state_dir=Path(folder))

        async with open_engine(dsn, adapter) as engine:
            await _publish(engine, tenants)
            bare = await _write_bare(engine.pool, tenants)
            started = time.perf_counter()
            await engine.run(JobContext(once=True))
            gathered = time.perf_counter() - started
            for statement in CLOSE:
                await engine.pool.execute(statement, timeout=60)
            started = time.perf_counter()
            await engine.run(JobContext(once=True))
            rate = COUNTS[tenants] / (gathered + time.perf_counter() - started)
            if left := await engine.pool.fetchval("select count(*) from postroom.delivery"):
                raise RuntimeError(f"{left} records were not exported")
    await stage.drop(dsn)
    return bare, rate


async def _publish(engine: Engine, tenants: int) -> None:
    for start in range(0, COUNTS[tenants], 1_000):
        messages = [
            {"channel": "export", "tenant": f"t{n % tenants}", "type": "invoice", "payload": _payload(n)}
            for n in range(start, start + 1_000)
        ]
        await engine.pool.execute(PUBLISH_MANY, encode(messages), timeout=60)


def _payload(number: int) -> dict[str, object]:
    """A record of about 700 bytes, half of it different in each, as an invoice is."""
    lines = [
        {"id": f"il_{uuid4().hex}", "amount": 1_200 + line, "description": "Additional seats, monthly plan"}
        for line in range(3)
    ]
    record = {
        "id": f"in_{uuid4().hex}",
        "customer": f"cus_{uuid4().hex[:14]}",
        "amount_paid": 4_200 + number,
        "currency": "eur",
        "status": "paid",
        "lines": lines,
        "metadata": {"source": "checkout", "note": "x" * 60},
        "created": 1_767_225_600,
    }
    return {"dataset": "invoices", "record": record}
