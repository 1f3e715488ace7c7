"""Runs our alert rules on series that a test makes up, with Prometheus' own tool."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

import pytest
import yaml

MONITORING: Final = Path(__file__).parents[2] / "monitoring"
RULES: Final = sorted((MONITORING / "prometheus" / "rules").glob("*.yml"))

needs_prometheus = pytest.mark.needs("promtool")
needs_alertmanager = pytest.mark.needs("amtool")


class Situation(StrEnum):
    """What every alert must be tried in, or say why it cannot be."""

    FIRES = "fires"
    QUIET = "does not fire"
    ABSENT = "data absent"
    REPLAY = "after a replay"
    RESTART = "after a restart"


FIRES, QUIET, ABSENT, REPLAY, RESTART = Situation


@dataclass(frozen=True, slots=True)
class Case:
    """`series`: values a minute apart, in promtool's notation (`0+60x10`, `_` for none).

    `at`: when to look. `firing`: how many alerts of that name fire then.
    """

    alert: str
    situation: Situation
    name: str
    at: str
    firing: int
    series: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.alert}: {self.name}"


def run_case(case: Case, folder: Path) -> None:
    """Errors: `AssertionError` with what promtool says."""
    expression = f'count(ALERTS{{alertname="{case.alert}",alertstate="firing"}}) or vector(0)'
    test = {
        "rule_files": [str(path) for path in RULES],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": s, "values": v} for s, v in case.series.items()],
                "promql_expr_test": [
                    {
                        "expr": expression,
                        "eval_time": case.at,
                        "exp_samples": [{"labels": "{}", "value": case.firing}],
                    }
                ],
            }
        ],
    }
    path = folder / "case.yml"
    path.write_text(yaml.safe_dump(test))
    done = subprocess.run(
        ["promtool", "test", "rules", str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
