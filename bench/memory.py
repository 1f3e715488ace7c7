"""`rss_mb`: what the real runner holds in memory while a million messages wait."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Final

from bench.channels import publish_to
from bench.report import Report
from bench.service import open_process
from postroom.base.db import open_pool

SECONDS: Final = 7.0
WEBHOOKS: Final = 20_000


async def measure_memory(dsn: str, report: Report) -> None:
    """Let `postroom work` send mails and webhooks out of what waits, then read its peak.

    Its children count too: mails are rendered in a process of their own.
    """
    async with (
        open_process(["bench.sink", "smtp"], {}, r"ports (\d+)") as (_, smtp),
        open_process(["bench.sink", "http"], {}, r"ports (\d+)") as (_, http),
    ):
        pool = await open_pool(dsn)
        await publish_to(pool, [f"http://127.0.0.1:{http[1]}/"], WEBHOOKS)
        await pool.close()
        settings = {
            "POSTROOM_DATABASE_URL": dsn,
            "POSTROOM_EMAIL__URL": f"smtp://127.0.0.1:{smtp[1]}",
            "POSTROOM_WEBHOOK__ALLOW_PRIVATE": "true",
            "POSTROOM_LOG_JSON": "true",
        }
        async with open_process(["postroom", "work"], settings, "runner.started") as (pid, _):
            await asyncio.sleep(SECONDS)
            report.put("rss_mb", sum(peak_mb(each) for each in family(pid)))


def family(pid: int) -> list[int]:
    """A process and all that it started."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(each for child in children for each in family(int(child)))]


def peak_mb(pid: int) -> float:
    """The most that a process ever held, in MB. Errors: `RuntimeError` when the kernel does not say."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    if found is None:
        raise RuntimeError(f"/proc/{pid}/status has no VmHWM")
    return int(found[1]) * 1_024 / 1e6
