"""The main job as a whole: a Stripe event in; its email, webhook and export out, by the real processes."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import asyncpg

from bench.intake import CLIENTS, LUA
from bench.report import Report
from bench.service import SECRET, open_api, open_process
from bench.stage import Stage
from postroom.base.db import connect
from postroom.channels.webhooks.endpoints import create_endpoint
from postroom.dev.stripe_events import SubscriptionLife, encode, make_id, signed, snapshot_event

EFFECTS: Final = 3
LINES: Final = 5
"""Of an invoice, so that an event has 4.3 kB."""
WITHIN_S: Final = 240.0
TICK_S: Final = float(os.sysconf("SC_CLK_TCK"))
ROUTES: Final = """
[[route]]
on = "invoice.paid"
email   = { template = "receipt", to = "{{ object.customer_email }}" }
webhook = { tenant = "bench" }
export  = { dataset = "invoices" }
"""
DELIVERED: Final = """
select coalesce(sum(value), 0)::bigint from postroom.tally
where name = 'ended' and label in ('email/delivered', 'webhook/delivered', 'export/delivered')"""


@dataclass(frozen=True, slots=True)
class Installation:
    """The processes of one measurement, by the name under which their time is reported."""

    conn: asyncpg.Connection[Any]
    url: str
    pids: dict[str, int]


async def measure_chain(stage: Stage, report: Report, *, rounds: int, events: int) -> None:
    """`chain_events_per_s`: signed `invoice.paid` over 32 connections, until all their effects have ended.

    `chain_door_per_s`: of these, how many were answered a second while the chain worked beside them.
    `chain_us_per_event`: processor time of API, runner and PostgreSQL together, children included.
    """
    if shutil.which("wrk") is None:
        report.skip("chain_events_per_s", "wrk is missing (Debian: apt-get install wrk)")
        return
    rates, doors, costs, parts = [], [], [], []
    for _ in range(rounds):
        async with open_installation(stage) as installation:
            rate, door, cost = await _run(installation, events)
        rates.append(rate)
        doors.append(door)
        costs.append(sum(cost.values()))
        parts.append(cost)
    report.put("chain_events_per_s", median(rates), spread=rates)
    report.put("chain_door_per_s", median(doors), spread=doors)
    middle = parts[costs.index(sorted(costs)[len(costs) // 2])]
    shown = ", ".join(f"{name} {us:,.0f}" for name, us in middle.items())
    report.put("chain_us_per_event", median(costs), spread=costs, note=shown)


@asynccontextmanager
async def open_installation(stage: Stage, *, receiver: str | None = None) -> AsyncIterator[Installation]:
    """`postroom serve` and one runner, with plain sinks; `receiver`: where webhooks go instead."""
    dsn = await stage.database()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="postroom-bench-")))
        (folder / "routes.toml").write_text(ROUTES)
        _, http = await stack.enter_async_context(open_process(["bench.sink", "http"], {}, r"ports (\d+)"))
        _, smtp = await stack.enter_async_context(open_process(["bench.sink", "smtp"], {}, r"ports (\d+)"))
        conn = await connect(dsn)
        stack.push_async_callback(conn.close)
        await create_endpoint(
            conn, tenant="bench", url=receiver or f"http://127.0.0.1:{http[1]}/", allow_private=True
        )
        settings = {
            "POSTROOM_DATABASE_URL": dsn,
            "POSTROOM_STRIPE__WEBHOOK_SECRETS": SECRET,
            "POSTROOM_ROUTES": str(folder / "routes.toml"),
            "POSTROOM_EMAIL__URL": f"smtp://127.0.0.1:{smtp[1]}",
            "POSTROOM_WEBHOOK__ALLOW_PRIVATE": "true",
            "POSTROOM_EXPORTS__URL": f"file://{folder}/exports",
            "POSTROOM_EXPORTS__ROLL_S": "1",  # files gather, as they do for 300 s unless told otherwise
            "POSTROOM_STATE_DIR": str(folder),
            "POSTROOM_LOG_JSON": "true",
        }
        api = await stack.enter_async_context(open_api(dsn, **settings))
        runner = open_process(["postroom", "work"], settings, "runner.started")
        runner_pid, _ = await stack.enter_async_context(runner)
        pids = {
            "API": api.pid,
            "runner": runner_pid,
            "PostgreSQL": parent_of(await conn.fetchval("select pg_backend_pid()")),
        }
        yield Installation(conn, api.url, pids)
    await stage.drop(dsn)


def parent_of(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("PPid:")[2].split()[0])


async def _run(installation: Installation, events: int) -> tuple[float, float, dict[str, float]]:
    """Returns: events a second, as a whole and at the door, and processor time in µs an event by process."""
    with tempfile.TemporaryDirectory(prefix="postroom-bench-") as folder:
        script = await asyncio.to_thread(_write_requests, Path(folder), events)
        before = {name: processor_s(pid) for name, pid in installation.pids.items()}
        started, done = time.perf_counter(), 0
        sender = await asyncio.create_subprocess_exec(
            "wrk", "-t", "2", "-c", str(CLIENTS), "-d", f"{WITHIN_S:.0f}s", "--timeout", "30s",
            "-s", str(script),
            installation.url + "/v1/stripe/webhook",
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        sent = asyncio.create_task(_sent_after_s(sender, started))
        try:
            async with asyncio.timeout(WITHIN_S):
                while (done := await installation.conn.fetchval(DELIVERED)) < events * EFFECTS:
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise RuntimeError(f"{done} of {events * EFFECTS} effects within {WITHIN_S:.0f} s") from None
        finally:
            took_s = time.perf_counter() - started
            if sender.returncode is None:
                sender.kill()
            await sender.wait()
        after = {name: processor_s(pid) for name, pid in installation.pids.items()}
    costs = {name: (after[name] - before[name]) / events * 1e6 for name in after}
    return events / took_s, events / await sent, costs


async def _sent_after_s(sender: asyncio.subprocess.Process, started: float) -> float:
    """Each of its two threads says so when its events are all sent, and answered but for the last ones."""
    if sender.stdout is None:
        raise RuntimeError("the sender's output is not read")
    for _ in range(2):
        while (line := await sender.stdout.readline()) != b"sent\n":
            if not line:
                raise RuntimeError("the sender ended before it had sent its events")
    return time.perf_counter() - started


def _write_requests(folder: Path, events: int) -> Path:
    """Each event is about an invoice of its own; together they are 4.3 kB."""
    for thread in (1, 2):
        with (folder / f"events{thread}").open("w") as file:
            for _ in range(events // 2):
                body = make_event()
                file.write(f"{signed(body, SECRET)['Stripe-Signature']}\t{body.decode()}\n")
    script = folder / "requests.lua"
    script.write_text(LUA.replace("FOLDER", str(folder)))
    return script


def make_event() -> bytes:
    """A paid invoice of its own, 4.3 kB."""
    life = SubscriptionLife(email="ada@example.com", name="Ada Lovelace", started=1_700_000_000)
    invoice = life.invoice(paid=True, created=1_700_000_000)
    [line] = invoice["lines"]["data"]
    invoice["lines"]["data"] = [line | {"id": make_id("il")} for _ in range(LINES)]
    return encode(snapshot_event("invoice.paid", invoice))


def processor_s(pid: int) -> float:
    """User and system time of a process, its children and theirs, those that have ended included."""
    return sum(_own_s(each) for each in _family(pid))


def _own_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):  # it has ended, before or after its file was opened
        return 0.0
    return sum(map(int, fields[11:15])) / TICK_S


def _family(pid: int) -> Iterator[int]:
    yield pid
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
    except FileNotFoundError:
        return
    for task in tasks:
        for child in _children(task):
            yield from _family(child)


def _children(task: Path) -> Sequence[int]:
    try:
        return [int(each) for each in (task / "children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []
