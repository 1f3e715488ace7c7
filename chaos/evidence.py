"""What is there when all is quiet: in the logs of receivers and mailbox, in the files, in the ledger."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from chaos.entrances import DATASET, EMAIL, EXPORT, WEBHOOKS
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


class _Record(msgspec.Struct):
    token: str


class _ExportLine(msgspec.Struct):
    id: str
    record: _Record


@dataclass(frozen=True, slots=True)
class Evidence:
    """`cut_attempts`: see `verdict.compare`. `signature_faults`: what receivers could not verify."""

    arrivals: tuple[Arrival, ...]
    cut_attempts: dict[tuple[str, str], int]
    signature_faults: tuple[str, ...]
    unknown_surfaced: int
    drift: int


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
    return Evidence(
        arrivals=tuple(arrivals),
        cut_attempts=await _cut_attempts(installation, pool),
        signature_faults=tuple(line.fault for _, line in lines if line.fault and not _is_clock(line.fault)),
        unknown_surfaced=await pool.fetchval(
            "select count(*) from postroom.attempt where outcome = 'unknown'"
        ),
        drift=(await check_ledger(pool)).drift,
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
