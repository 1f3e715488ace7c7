"""What is there when all is quiet: in the logs of receivers and mailbox, in the files, in the ledger."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from chaos.entrances import DATASET, EMAIL, EXPORT, TASK, WEBHOOKS
from chaos.installation import Installation
from chaos.journal import Entry
from chaos.outside import Line
from chaos.process import ManagedProcess
from chaos.tasks import IN_TRANSACTION, TASKS, TICK
from chaos.verdict import Arrival
from postroom.base.db import Pool
from postroom.outbox.ledger.balance import check_ledger

CUT = (
    "select message_id::text as id, n, channel, count(*) as count from postroom.attempt"
    " where outcome in ('retry', 'unknown', 'abandoned', 'rejected') group by 1, 2, 3"
)
# Nothing in a plan makes a receiver refuse for good: such a letter, or one after the healing, is unexplained.
LETTERS = (
    "select message_id::text as id, n, channel, cause, reason from postroom.dead_letter"
    " where not $1 or cause = 'permanent'"
)
# What is due does not depend on what ran: from the first full minute after the schedule was made up to $2.
TICKS = (
    "select coalesce(minute, t.at) as at, minute is not null as is_due, count(t.at) as runs"
    " from (select generate_series(date_trunc('minute', chaos_made_at) + interval '1 minute', $2, '1 minute')"
    "  as minute from postroom.schedule where name = $1) as due"
    " full join (select at from public.chaos_tick where at <= $2) t on t.at = minute group by 1, 2 order by 1"
)


class _Record(msgspec.Struct):
    token: str


class _ExportLine(msgspec.Struct):
    id: str
    record: _Record


class _TaskLine(msgspec.Struct):
    task: str
    token: str
    id: str


@dataclass(frozen=True, slots=True)
class Ticks:
    """Minutes of the schedule: how many were due, how many of them ran, and those that did not run once."""

    expected: int
    seen: int
    wrong: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    """`cut_attempts`: see `verdict.compare`. `signature_faults`: what receivers could not verify.

    `tasks`: how many messages each task ran for.
    """

    arrivals: tuple[Arrival, ...]
    cut_attempts: dict[tuple[str, str], int]
    signature_faults: tuple[str, ...]
    unknown_surfaced: int
    drift: int
    tasks: Mapping[str, int]
    ticks: Ticks


async def collect(installation: Installation, pool: Pool, *, ticks_until: datetime) -> Evidence:
    """Read everything. The drift is that of both sides of the ledger now, added up anew."""
    lines = [
        (destination, line)
        for destination, process in (
            *zip(WEBHOOKS, installation.receivers, strict=True),
            *((EMAIL, mailbox) for mailbox in installation.mailboxes),
        )
        for line in _lines(installation, process)
    ]
    arrivals = [Arrival(line.token, destination, _bare(line.id)) for destination, line in lines]
    arrivals += [Arrival(each.record.token, EXPORT, each.id) for each in _exported(installation.exports_dir)]
    told = _task_lines(installation.folder / "task-lines")
    arrivals += [Arrival(each.token, TASK, each.id) for each in told]
    rows = await pool.fetch("select token, message_id::text as id from public.chaos_task")
    arrivals += [Arrival(row["token"], TASK, row["id"]) for row in rows]
    cut_attempts = await _cut_attempts(installation, pool)
    for row in rows:
        cut_attempts.pop(
            (row["id"], TASK), None
        )  # an attempt that was cut has left no row: none is explained
    return Evidence(
        arrivals=tuple(arrivals),
        cut_attempts=cut_attempts,
        signature_faults=tuple(line.fault for _, line in lines if line.fault and not _is_clock(line.fault)),
        unknown_surfaced=await pool.fetchval(
            "select count(*) from postroom.attempt where outcome = 'unknown'"
        ),
        drift=(await check_ledger(pool)).drift,
        tasks=_count_tasks({row["token"] for row in rows}, told),
        ticks=await read_ticks(pool, until=ticks_until),
    )


async def found_in_ledger(pool: Pool, entries: list[Entry]) -> set[str]:
    """Which of these publications the ledger has, by their token."""
    rows = await pool.fetch(
        "select w.token from unnest($1::text[], $2::text[], $3::text[]) as w(token, channel, key)"
        " join postroom.message m on m.channel = w.channel and m.key = w.key",
        [entry.token for entry in entries],
        [entry.channel for entry in entries],
        [entry.key for entry in entries],
    )
    return {row["token"] for row in rows}


async def torn_transactions(pool: Pool) -> list[str]:
    """Publishers' own rows without their messages, or the other way round: a commit that was half done."""
    rows = await pool.fetch(
        "select coalesce(o.token, m.token) as token from public.chaos_order o full join"
        " (select distinct substring(key from '^sql-[0-9]+') as token from postroom.message"
        "  where key like 'sql-%') m on m.token = o.token where o.token is null or m.token is null"
    )
    return [row["token"] for row in rows]


def _lines(installation: Installation, process: ManagedProcess) -> Iterator[Line]:
    path = installation.arrivals_path(process)
    if path.exists():
        for line in path.read_bytes().splitlines():
            yield msgspec.json.decode(line, type=Line)


async def read_ticks(pool: Pool, *, until: datetime) -> Ticks:
    """Each minute up to `until` must have run once from the schedule's making on, and no other."""
    rows = await pool.fetch(TICKS, TICK, until)
    due = [row for row in rows if row["is_due"]]
    wrong = [row for row in rows if row["runs"] != 1 or not row["is_due"]]
    return Ticks(
        expected=len(due),
        seen=sum(row["runs"] > 0 for row in due),
        wrong=tuple(
            f"{row['at']:%H:%M:%S}: {row['runs']} times{'' if row['is_due'] else ', not due'}"
            for row in wrong
        ),
    )


def _task_lines(path: Path) -> list[_TaskLine]:
    if not path.exists():
        return []
    return [msgspec.json.decode(line, type=_TaskLine) for line in path.read_bytes().splitlines()]


def _count_tasks(in_transaction: set[str], told: list[_TaskLine]) -> dict[str, int]:
    once = {(each.task, each.token) for each in told} | {(IN_TRANSACTION, each) for each in in_transaction}
    return {name: sum(task == name for task, _ in once) for name in TASKS}


def _exported(folder: Path) -> Iterator[_ExportLine]:
    for path in sorted(folder.glob(f"{DATASET}/**/*.ndjson.gz")):
        for line in gzip.decompress(path.read_bytes()).splitlines():
            yield msgspec.json.decode(line, type=_ExportLine)


async def _cut_attempts(installation: Installation, pool: Pool) -> dict[tuple[str, str], int]:
    """What the ledger logged as cut.

    Webhooks are numbered in the order of their endpoints' ids, as publishing numbers them.
    """
    order = sorted(installation.endpoint_ids)
    place = {order.index(endpoint): WEBHOOKS[n] for n, endpoint in enumerate(installation.endpoint_ids)}

    def destination(channel: str, n: int) -> str:
        return place[n] if channel == "webhook" else channel

    return {(row["id"], destination(row["channel"], row["n"])): row["count"] for row in await pool.fetch(CUT)}


def _bare(id_: str) -> str:
    """The message's id out of a Message-ID."""
    return id_.partition("@")[0]


def _is_clock(fault: str) -> bool:
    """Two runners sign with clocks half an hour wrong; receivers rightly say so."""
    return "too far from now" in fault
