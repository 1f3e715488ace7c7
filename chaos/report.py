"""The result of a run: its last line, and whether it passed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import msgspec

from chaos.verdict import Comparison, percentile_50


@dataclass(frozen=True, slots=True)
class RecoveryTime:
    """Seconds from a fault's end until a probe of every channel went through."""

    p50: float
    max: float


def recovery_time(seconds: Sequence[float]) -> RecoveryTime:
    return RecoveryTime(percentile_50(seconds), max(seconds, default=0.0))


@dataclass(frozen=True, slots=True)
class Report:
    """The keys of the last line are a contract.

    `writes_stopped_s`: for each fault of a cluster, and for `all`, how long no write was acknowledged.
    `tasks`: for how many messages each task ran. `ticks_wrong`: minutes of the schedule that were missed,
    ran twice or were not due.
    """

    published: int
    delivered: int
    lost: int
    duplicates: int
    phantoms: int
    dead_unexplained: int
    unknown_surfaced: int
    ledger_drift: int
    faults: Mapping[str, int]
    recovery_s: RecoveryTime
    writes_stopped_s: Mapping[str, RecoveryTime]
    tasks: Mapping[str, int]
    ticks_expected: int
    ticks_seen: int
    ticks_wrong: int
    seed: int

    def line(self) -> str:
        return msgspec.json.encode(asdict(self)).decode()


def failures(report: Report, comparison: Comparison, *, length_s: float) -> list[str]:
    """Why the run did not pass; empty when it did.

    `length_s`: of the faults; the schedule must have begun within their first minute.
    """
    found = [
        f"{name} = {count}"
        for name, count in (
            ("lost", report.lost),
            ("phantoms", report.phantoms),
            ("dead_unexplained", report.dead_unexplained),
            ("ledger_drift", report.ledger_drift),
            ("ticks_wrong", report.ticks_wrong),
        )
        if count
    ]
    if comparison.duplicates_unexplained:
        found.append(f"duplicates that no cut attempt explains = {len(comparison.duplicates_unexplained)}")
    if not report.published:
        found.append("nothing was published: the run proves nothing")
    if report.ticks_expected < length_s // 60 - 1:
        found.append(f"only {report.ticks_expected} minutes of the schedule were due in {length_s:g} s")
    return found
