"""`make bench [FULL=1] [ONLY=row,row] [PEERS=path/to/run]`."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Coroutine

import uvloop
from rich.console import Console

from bench.brokers import measure_brokers
from bench.chain import measure_chain
from bench.chain_latency import measure_chain_latency
from bench.channels import measure_emails, measure_slow_neighbours, measure_webhooks
from bench.expired import measure_expired
from bench.exports import measure_exports
from bench.fair import measure_fairness
from bench.history import measure_history
from bench.intake import measure_ingest, measure_publish_over_insert
from bench.ledgers import measure_ledgers
from bench.limited import measure_limited
from bench.queue import measure_drain, measure_held_snapshot, measure_latency
from bench.report import Report
from bench.retention import measure_retention
from bench.runners import measure_two_runners
from bench.scaling import measure_scaling
from bench.stage import Stage, open_stage, run
from bench.stripe_drift import measure_load, measure_reconcile
from bench.tasks import measure_tasks
from postroom.base import garbage
from postroom.base.log import configure_logging

Measure = Callable[[Stage, Report], Coroutine[None, None, None]]


def rows(*, full: bool) -> dict[str, Measure]:
    """Every measurement by the name that ONLY takes."""
    rounds, seconds = (5, 5) if full else (3, 3)
    return {
        "chain": lambda stage, report: measure_chain(
            stage, report, rounds=rounds, events=5_000 if full else 2_000
        ),
        "chain_latency": measure_chain_latency,
        "reconcile": lambda stage, report: measure_reconcile(stage, report, rounds=rounds),
        "load": lambda stage, report: measure_load(stage, report, rounds=rounds),
        "drain": lambda stage, report: measure_drain(stage, report, rounds=rounds),
        "runners": lambda stage, report: measure_two_runners(stage, report, rounds=rounds),
        "scaling": lambda stage, report: measure_scaling(stage, report, rounds=3 if full else 1),
        "ledgers": lambda stage, report: measure_ledgers(stage, report, rounds=5 if full else 3),
        "publish": lambda stage, report: measure_publish_over_insert(
            stage, report, rounds=rounds, seconds=seconds
        ),
        "latency": measure_latency,
        "ingest": lambda stage, report: measure_ingest(stage, report, rounds=rounds, seconds=seconds),
        "held": measure_held_snapshot,
        "expired": measure_expired,
        "history": lambda stage, report: measure_history(
            stage, report, rounds=rounds, finished=20_000_000 if full else 5_000_000
        ),
        "retention": lambda stage, report: measure_retention(
            stage, report, rounds=rounds, seconds=seconds * 2, count=60_000_000 if full else 1_000_000
        ),
        "webhook": lambda stage, report: measure_webhooks(stage, report, rounds=rounds),
        "email": lambda stage, report: measure_emails(stage, report, rounds=rounds),
        "tasks": lambda stage, report: measure_tasks(
            stage, report, rounds=rounds, count=40_000 if full else 20_000
        ),
        "brokers": lambda stage, report: measure_brokers(stage, report, rounds=rounds),
        "export": lambda stage, report: measure_exports(stage, report, rounds=rounds),
        "neighbours": lambda stage, report: measure_slow_neighbours(
            stage, report, rounds=rounds, seconds=seconds + 1
        ),
        "limited": lambda stage, report: measure_limited(stage, report, rounds=rounds),
        "fair": lambda stage, report: measure_fairness(
            stage, report, rounds=rounds, seconds=seconds, backlog=1_000_000 if full else 100_000
        ),
    }


def measure_peers(stage: Stage, report: Report, path: str) -> None:
    """Run the peers' own script on the same server; its JSON lines become rows of the same table."""
    for line in run(["bash", path], env=stage.environment(), timeout_s=1_200).splitlines():
        if line.startswith("{"):
            report.peers.append(json.loads(line))


def main() -> int:
    console = Console()
    configure_logging(json_lines=False, level="ERROR")
    garbage.search_less()  # as `postroom work` and `serve` do, for both sides of a ratio
    report = Report()
    chosen = rows(full=bool(os.environ.get("FULL")))
    only = [name for name in os.environ.get("ONLY", "").split(",") if name]
    if unknown := set(only) - set(chosen):
        console.print(f"There is no row {', '.join(sorted(unknown))}. Known: {', '.join(chosen)}.")
        return 2
    if {"chain", "ingest"} & set(only or chosen) and shutil.which("wrk") is None:
        console.print("wrk is missing: the rows chain and ingest are left out (Debian: apt-get install wrk)")
    failures = 0
    with open_stage() as stage:
        if peers := os.environ.get("PEERS"):
            with console.status("measuring the peers"):
                measure_peers(stage, report, peers)
        for name in only or chosen:
            started = time.monotonic()
            with console.status(f"measuring: {name}"):
                failed = _failure(chosen[name](stage, report))
            took = f"in {time.monotonic() - started:.0f} s"
            console.print(f"{name} failed {took}: {failed}" if failed else f"measured {name} {took}")
            failures += bool(failed)
        report.write(version=stage.version)
    report.show(console)
    return 1 if failures else 0


def _failure(measuring: Coroutine[None, None, None]) -> str:
    """What ended a row, in a line, after its traceback; the rows after it are measured all the same."""
    try:
        uvloop.run(measuring)
    except Exception as error:  # noqa: BLE001
        traceback.print_exc()
        return f"{type(error).__name__}: {error}"
    return ""


if __name__ == "__main__":
    sys.exit(main())
