"""What a run found: figures with their goals, shown as a table and kept as JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Column, Table

RESULTS: Final = Path(__file__).parent / "results.json"
NOISE_MAX: Final = 0.5
"""A figure whose rounds lie further apart than this share of their median is not believed."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What a row must reach. `peer`: the goal comes from the peers of the same run."""

    text: str
    at_least: float | None = None
    at_most: float | None = None


GOALS: Final = {
    "chain_events_per_s": Goal("≥ 600", at_least=600),
    "chain_door_per_s": Goal("reported"),
    "chain_us_per_event": Goal("≤ 2,500", at_most=2_500),
    "chain_latency_ms_p50": Goal("reported"),
    "chain_latency_ms_p99": Goal("reported"),
    "chain_latency_half_ms_p50": Goal("reported"),
    "chain_latency_half_ms_p99": Goal("reported"),
    "reconcile_requests_per_h": Goal("≤ 120", at_most=120),
    "reconcile_cpu_s_per_h": Goal("≤ 5", at_most=5),
    "load_objects_per_s": Goal("reported"),
    "load_us_per_object": Goal("≤ 1,000", at_most=1_000),
    "drain_per_s": Goal("2 × Graphile Worker batched, 4 × pgqueuer"),
    "publish_many_per_s": Goal("≥ pgqueuer's enqueue"),
    "publish_over_insert": Goal("≥ 0.6", at_least=0.6),
    "latency_ms_p50": Goal("below the best peer"),
    "latency_ms_p99": Goal("below the best peer"),
    "held_xmin_ratio": Goal("≥ 0.8", at_least=0.8),
    "expired_flat": Goal("≤ 1.2", at_most=1.2),
    "two_runners_ratio": Goal("≥ 1", at_least=1.0),
    "scaling_1": Goal("reported"),
    "scaling_2": Goal("reported"),
    "scaling_4": Goal("reported"),
    "scaling_8": Goal("reported"),
    "ledgers_4": Goal("≥ 0.95", at_least=0.95),
    "history_ratio": Goal("≥ 0.9", at_least=0.9),
    "backlog_ratio": Goal("≥ 0.9", at_least=0.9),
    "retention_60m": Goal("≥ 0.9", at_least=0.9),
    "ingest_over_http": Goal("≥ 0.4", at_least=0.4),
    "webhooks_per_s": Goal("reported"),
    "webhook_over_bare": Goal("≥ 0.6", at_least=0.6),
    "email_over_bare": Goal("≥ 0.6", at_least=0.6),
    "tasks_per_s": Goal("reported"),
    "tasks_over_fastest_peer": Goal("≥ 2", at_least=2),
    "tasks_apart_per_s": Goal("reported"),
    "tasks_apart_over_celery": Goal("≥ 1", at_least=1),
    "nats_per_s": Goal("reported"),
    "nats_over_bare": Goal("≥ 0.6", at_least=0.6),
    "redis_per_s": Goal("reported"),
    "redis_over_bare": Goal("≥ 0.6", at_least=0.6),
    "rabbitmq_per_s": Goal("reported"),
    "rabbitmq_over_bare": Goal("≥ 0.6", at_least=0.6),
    "kafka_per_s": Goal("reported"),
    "kafka_over_bare": Goal("≥ 0.6", at_least=0.6),
    "sqs_per_s": Goal("reported"),
    "sqs_over_bare": Goal("≥ 0.6", at_least=0.6),
    "export_over_bare": Goal("≥ 0.5", at_least=0.5),
    "export_tenants_over_bare": Goal("≥ 0.5", at_least=0.5),
    "slow_neighbour_ratio": Goal("≥ 0.9", at_least=0.9),
    "fair_ratio": Goal("≥ 0.9", at_least=0.9),
    "fair_ms_p99": Goal("≤ 1,000", at_most=1_000),
    "limited_ratio": Goal("≥ 0.8", at_least=0.8),
    "statements_per_event": Goal("≤ 0.1", at_most=0.1),
    "wal_bytes_per_event": Goal("reported"),
    "metrics_ms": Goal("≤ 25", at_most=25),
    "readyz_ms": Goal("≤ 5", at_most=5),
    "admin_page_ms": Goal("≤ 50", at_most=50),
    "console_page_ms": Goal("≤ 100", at_most=100),
    "rss_mb": Goal("≤ 200", at_most=200),
}


@dataclass(slots=True)
class Report:
    """Figures by key, in the order in which they were found."""

    figures: dict[str, float] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    peers: list[dict[str, Any]] = field(default_factory=list)

    def put(self, key: str, value: float, *, spread: Sequence[float] = (), note: str = "") -> None:
        """Keep a figure; one whose rounds disagree too much is replaced by a note that says so.

        `note`: what stands beside a figure.
        """
        middle = sorted(spread)[len(spread) // 2] if spread else 0.0
        if spread and (max(spread) - min(spread)) > NOISE_MAX * middle:
            shown = ", ".join(f"{each:.3g}" for each in spread)
            self.notes[key] = f"too noisy to believe: {shown}"
            self.figures.pop(key, None)
            return
        self.figures[key] = value
        if note:
            self.notes[key] = note

    def skip(self, key: str, reason: str) -> None:
        self.notes[key] = reason

    def passed(self, key: str) -> bool | None:
        """None where there is no figure, or no goal to hold it against."""
        value, goal = self.figures.get(key), self._goal(key)
        if value is None or (goal.at_least is None and goal.at_most is None):
            return None
        return not (
            (goal.at_least is not None and value < goal.at_least)
            or (goal.at_most is not None and value > goal.at_most)
        )

    def _goal(self, key: str) -> Goal:
        goal = GOALS[key]
        graphile = self._peer("graphile-worker batched", "drain_per_s")
        pgqueuer = self._peer("pgqueuer", "drain_per_s")
        if key == "drain_per_s" and graphile and pgqueuer:
            return Goal(goal.text, at_least=max(2 * graphile, 4 * pgqueuer))
        enqueue = self._peer("pgqueuer", "enqueue_per_s")
        if key == "publish_many_per_s" and enqueue:
            return Goal(goal.text, at_least=enqueue)
        best = min((float(peer[key]) for peer in self.peers if key in peer), default=None)
        return Goal(goal.text, at_most=best) if best is not None else goal

    def _peer(self, name: str, key: str) -> float | None:
        return next((float(p[key]) for p in self.peers if str(p["peer"]).startswith(name) and key in p), None)

    def fastest(self, names: tuple[str, ...]) -> float | None:
        """Jobs that do nothing, a second, of the fastest peer whose name begins so; None where none ran."""
        rates = [
            p["drain_per_s"] for p in self.peers if str(p["peer"]).startswith(names) and "drain_per_s" in p
        ]
        return max(rates, default=None)

    def write(self, *, version: str) -> None:
        """Write `bench/results.json`; the keys stand at the top."""
        machine = {"cores": os.cpu_count(), "python": platform.python_version(), "postgresql": version}
        content = {**self.figures, "peers": self.peers, "notes": self.notes, "machine": machine}
        RESULTS.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")

    def show(self, console: Console) -> None:
        """What was measured or left out, as a table of 100 columns; the peers' figures follow."""
        table = Table(Column("row", no_wrap=True), "figure", "goal", "", title="Postroom, measured")
        for key, goal in GOALS.items():
            if key not in self.figures and key not in self.notes:
                continue
            verdict = {True: "[green]✓[/]", False: "[red]✗[/]", None: ""}[self.passed(key)]
            beside = self.notes.get(key, "") if key in self.figures else ""
            table.add_row(key, self._shown(key), self._goal_shown(key, goal), f"{verdict} {beside}".strip())
        console.print(table)
        for peer in self.peers:
            rest = [
                f"{name} {value:,}" for name, value in peer.items() if name not in ("peer", "jobs", "left")
            ]
            console.print(f"{peer['peer']}: {', '.join(rest)}", style="dim")

    def _shown(self, key: str) -> str:
        value = self.figures.get(key)
        return self.notes[key] if value is None else _written(value)

    def _goal_shown(self, key: str, goal: Goal) -> str:
        """The goal's own words, and the number that the peers of this run make of it."""
        found = self._goal(key)
        limit = found.at_least or found.at_most
        return goal.text if limit is None or found == goal else f"{goal.text} ({_written(limit)})"


def _written(value: float) -> str:
    return f"{value:,.3g}" if value < 1_000 else f"{value:,.0f}"
