"""Rows about exports: the real adapter and engine over a bare writer of the same files."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final
from uuid import uuid4

import msgspec

from bench.engine import PUBLISH_MANY, Engine, open_engine
from bench.report import Report
from bench.stage import Stage
from postroom.base.clock import SystemClock
from postroom.base.db import Pool
from postroom.base.json import encode
from postroom.base.settings import ExportSettings
from postroom.channels.exports import ndjson
from postroom.channels.exports.adapter import ExportAdapter
from postroom.channels.exports.folder import FolderStorage
from postroom.channels.exports.model import ExportRecord
from postroom.worker.model import JobContext

COUNT: Final = 40_000
TENANTS: Final = 200
RECORD: Final = {
    "id": "in_1",
    "amount_paid": 4_200,
    "currency": "eur",
    "lines": ["x" * 60] * 10,
    "created": 0,
}
CLOSE: Final = (
    "update postroom.export_file set closes_at = now() where closes_at is not null",
    "update postroom.delivery set due_at = now()",
)
"""The end of the window, for whoever compares with the database's clock."""


async def measure_exports(stage: Stage, report: Report, *, rounds: int) -> None:
    """`export_over_bare`: two large files. `export_tenants_over_bare`: a file for each of 200 tenants."""
    for name, tenants in (("export_over_bare", 1), ("export_tenants_over_bare", TENANTS)):
        ratios = []
        for _ in range(rounds):
            bare = await _write_bare(tenants)
            ratios.append(await _export(stage, tenants) / bare)
        report.put(name, median(ratios), spread=ratios)


async def _write_bare(tenants: int) -> float:
    """Records in memory, as NDJSON, gzip, durably in a folder, file after file. Returns: records a second."""
    record = msgspec.json.encode(RECORD).decode()
    now = datetime.now(UTC)
    records = [ExportRecord(uuid4(), "invoice", f"t{n % tenants}", now, record) for n in range(COUNT)]
    files = 2 if tenants == 1 else tenants
    with TemporaryDirectory() as folder:
        storage = FolderStorage(Path(folder))
        started = time.perf_counter()
        for number in range(files):
            content = await asyncio.to_thread(ndjson.compress, records[number::files])
            await storage.put(f"invoices/t{number}/{number}.ndjson.gz", content)
        return COUNT / (time.perf_counter() - started)


async def _export(stage: Stage, tenants: int) -> float:
    """Claimed twice, and delivered once the manifest lists them. Returns: records a second."""
    dsn = await stage.database()
    with TemporaryDirectory() as folder:

        def adapter(pool: Pool) -> ExportAdapter:
            settings = ExportSettings(url=f"file://{folder}/exports")
            clock = SystemClock()
            return ExportAdapter(pool=pool, clock=clock, settings=settings, state_dir=Path(folder))

        async with open_engine(dsn, adapter) as engine:
            await _publish(engine, tenants)
            started = time.perf_counter()
            await engine.run(JobContext(once=True))
            gathered = time.perf_counter() - started
            for statement in CLOSE:
                await engine.pool.execute(statement, timeout=60)
            started = time.perf_counter()
            await engine.run(JobContext(once=True))
            rate = COUNT / (gathered + time.perf_counter() - started)
            if left := await engine.pool.fetchval("select count(*) from postroom.delivery"):
                raise RuntimeError(f"{left} records were not exported")
    await stage.drop(dsn)
    return rate


async def _publish(engine: Engine, tenants: int) -> None:
    payload = {"dataset": "invoices", "record": RECORD}
    for start in range(0, COUNT, 1_000):
        messages = [
            {"channel": "export", "tenant": f"t{n % tenants}", "type": "invoice", "payload": payload}
            for n in range(start, start + 1_000)
        ]
        await engine.pool.execute(PUBLISH_MANY, encode(messages), timeout=60)
