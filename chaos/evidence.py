"""What is there when all is quiet: in the logs of receivers and mailbox, in the files, in the ledger."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from chaos.entrances import DATASET, EMAIL, EXPORT, TASK, WEBHOOKS
from chaos.installation import Installation
from chaos.journal import Entry
from chaos.outside import Line
from chaos.process import ManagedProcess
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


TICKS = (
    "select minute, count(t.at) as runs"
    " from (select min(at) as first, greatest(max(at), (select date_trunc('minute', last_at)"
    "  from postroom.schedule where name = 'chaos.tick')) as last from public.chaos_tick) as each,"
    " generate_series(first, last, interval '1 minute') as minute"
    " left join public.chaos_tick t on t.at = minute group by 1 having count(t.at) <> 1 order by 1"
)


class _Record(msgspec.Struct):
    token: str


class _ExportLine(msgspec.Struct):
    id: str
    record: _Record


class _TaskLine(msgspec.Struct):
    token: str
    id: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """`cut_attempts`: see `verdict.compare`. `signature_faults`: what receivers could not verify."""

    arrivals: tuple[Arrival, ...]
    cut_attempts: dict[tuple[str, str], int]
    signature_faults: tuple[str, ...]
    unknown_surfaced: int
    drift: int
    ticks: int


async def collect(installation: Installation, pool: Pool) -> Evidence:
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
    arrivals += _task_lines(installation.folder / "task-lines")
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
        ticks=await pool.fetchval("select count(distinct at) from public.chaos_tick"),
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


async def wrong_ticks(pool: Pool) -> list[str]:
    """Minutes for which the schedule ran twice, or not at all between its first and the last that is due."""
    rows = await pool.fetch(TICKS)
    return [f"{row['minute']}: {row['runs']} times" for row in rows]


def _task_lines(path: Path) -> list[Arrival]:
    if not path.exists():
        return []
    told = (msgspec.json.decode(line, type=_TaskLine) for line in path.read_bytes().splitlines())
    return [Arrival(each.token, TASK, each.id) for each in told]


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
