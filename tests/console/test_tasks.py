"""The page of the tasks: how each went, which are under way, and when they run by themselves."""

from __future__ import annotations

import asyncio
import html
import re
from pathlib import Path

import pytest

from postroom.base.clock import SystemClock
from postroom.base.db import Pool
from postroom.base.operator_code import load_code
from postroom.base.settings import Settings
from postroom.base.task_settings import TaskSettings
from postroom.channels.tasks import reading
from postroom.channels.tasks.adapter import TaskAdapter
from postroom.channels.tasks.counts import Counts
from postroom.channels.tasks.registry import tasks_in
from postroom.client.task import NAME_MAX
from postroom.metrics.throughput import sample_throughput
from postroom.outbox.model import Channel, Delivered, Message, RetryLater
from tests.console.http import visitor
from tests.fixtures.api import running_api
from tests.fixtures.engine import AdapterEngine
from tests.fixtures.roles import pool_as

PAGE = "/console/tasks"
HOSTILE = "<i>gone</i>"
CODE = """
import asyncio
from pathlib import Path
from postroom import Reject, Retry, cron, current_task, task

@cron("0 9 * * *", zone="Europe/Berlin", name="mail.morning", args={"word": "a"})
@cron("0 9 * * *", name="mail.paused", args={"word": "b"})
@task("mail.digest")
async def digest(word: str) -> None:
    if word == "again":
        raise Retry
    if word == "never":
        raise Reject("no such word")

@task("long")
async def long(folder: str) -> None:
    current_task().progress(0.4)
    while not Path(folder, "go").exists():
        await asyncio.sleep(0.02)
"""


@pytest.fixture
def code(tmp_path: Path) -> str:
    path = tmp_path / "jobs.py"
    path.write_text(CODE)
    return str(path)


def call(task: str, **args: str) -> Message:
    return Message(channel=Channel.TASK, type=task, payload={"task": task, "args": args})


def rows(page: str, caption: str) -> dict[str, list[str]]:
    """The cells of a table as they are read, by the first of each row."""
    found = re.search(rf'<caption class="sr">{caption}</caption>.*?</table>', page, re.DOTALL)
    cells = {}
    for row in re.findall(r"<tr data-row>.*?</tr>", found[0] if found else "", re.DOTALL):
        first, *others = re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)
        cells[html.unescape(plain(first))] = [plain(cell) for cell in others]
    return cells


def plain(cell: str) -> str:
    return re.sub(r"<[^>]+>", "", cell).strip()


async def test_each_task_is_told_with_its_attempts_its_progress_and_its_times(
    dsn: str, pool: Pool, tmp_path: Path, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = TaskAdapter(
        pool=pool_as(pool, "runner"),
        clock=SystemClock(),
        settings=TaskSettings(processes=1),
        tasks=tasks_in(load_code([code])),
        places=[code],
    )
    engine = await AdapterEngine(dsn, pool, adapter).start()
    words = ("a", "b", "again", "never")
    await engine.publish([call("mail.digest", word=word) for word in words])
    await engine.drain()
    [message_id] = await engine.publish([call("long", folder=str(tmp_path))])
    running = asyncio.create_task(engine.drain())
    await pool.execute(
        """insert into postroom.schedule (name, last_at, published_at, paused_at, paused_by, reason) values
            ('mail.morning', now() - interval '1 hour', now() - interval '2 hours', null, null, null),
            ('mail.paused', now(), null, now(), 'ada', 'figures are wrong'),
            ($1, now(), null, null, null, null)""",
        HOSTILE,
    )
    async with (
        asyncio.timeout(20),
        running_api(dsn, Settings(state_dir=tmp_path, handlers=(code,))) as api,
        visitor(api) as guest,
    ):
        await guest.sign_in(api.token)
        while not await pool.fetchval("select progress from postroom.task_run"):
            await asyncio.sleep(0.02)
        page = (await guest.get(PAGE)).text
        monkeypatch.setattr(reading, "SCAN_MAX", 2)
        cut = (await guest.get(PAGE)).text
        (tmp_path / "go").touch()
    await running
    await adapter.close()
    summary = rows(page, "Tasks by name")
    assert list(summary) == ["mail.digest"]
    assert summary["mail.digest"][:4] == ["–", "2", "2", "1"]
    assert "ms" in summary["mail.digest"][4]
    assert 'href="/console/messages?channel=task&amp;type=mail.digest"' in page
    assert 'href="/console/dead-letters?channel=task&amp;destination=mail.digest"' in page
    under_way = rows(page, "Tasks under way")
    assert (under_way["long"][1], under_way["long"][3]) == ("1", "40 %")
    assert f'href="/console/messages/{message_id}"' in page
    schedules = rows(page, "Schedules")
    assert list(schedules) == [HOSTILE, "mail.morning", "mail.paused"]
    assert schedules[HOSTILE] == ["well", "not in the code here", "–", "–", "never"]
    state, task, when, coming, last = schedules["mail.morning"]
    assert (state, task, when) == ("stale ScheduleStale", "mail.digest", "0 9 * * * Europe/Berlin")
    assert (coming[:3], last) == ("in ", "2 h ago")
    assert schedules["mail.paused"][0].endswith("by ada: figures are wrong")
    assert schedules["mail.paused"][3] == "–"
    assert "older ones may be tasks too" not in page
    assert "The newest 10\u202f000 messages" in cut


async def test_the_rate_is_of_what_ended_lately_whenever_it_was_published(
    dsn: str, pool: Pool, tmp_path: Path
) -> None:
    long = "n" * NAME_MAX
    await count(pool, {"yesterday": 100}, minutes_ago=1_440)
    await count(pool, {"early": 100}, minutes_ago=6)
    await count(pool, {"mail digest": 300, long: 6}, minutes_ago=4)
    await count(pool, {"mail digest": 300, "beyond those named": 9}, minutes_ago=2, named=["mail digest"])
    await count(pool, {"mail digest": 9_000, "new": 60}, minutes_ago=-1)  # as one that is not over
    async with running_api(dsn, Settings(state_dir=tmp_path)) as api, visitor(api) as guest:
        await guest.sign_in(api.token)
        page = (await guest.get(PAGE)).text
    summary = rows(page, "Tasks by name")
    assert [(name, cells[0]) for name, cells in summary.items()] == [
        ("mail digest", "2.0/s"), (long, "1.2/min"), ("early", "0/s"),
    ]  # fmt: skip


async def count(
    pool: Pool, attempts: dict[str, int], *, minutes_ago: int, named: list[str] | None = None
) -> None:
    """What a runner counts and the canary samples, as if in that minute; half of it failed."""
    counts = Counts(pool_as(pool, "runner"), named or attempts)
    for name, times in attempts.items():
        for n in range(times):
            answer = RetryLater("later") if n % 2 else Delivered()
            counts.add(name, answer, cancelled=False, took_s=0.1, worker=n % 3)
    await counts.close()
    await sample_throughput(pool_as(pool, "runner"))
    await pool.execute(
        """update postroom.flow set minute = date_trunc('minute', now()) - make_interval(mins => $1)
        where minute between date_trunc('minute', now()) - interval '1 minute' and now()""",
        minutes_ago,
    )
