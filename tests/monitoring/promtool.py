"""Runs our alert rules on series that a test makes up, with Prometheus' own tool."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
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


@cache
def rules_of(alert: str) -> str:
    """That alert and what is recorded for it: promtool evaluates every rule at every step, which took three
    quarters of its time. That all of them can be loaded together is tried in `test_configuration.py`."""
    groups = [group for path in RULES for group in yaml.safe_load(path.read_text())["groups"]]
    rules = [rule for group in groups for rule in group["rules"]]
    expressions = [rule["expr"] for rule in rules if rule.get("alert") == alert]
    wanted = {
        each["record"]
        for each in rules
        if any("record" in each and each["record"] in text for text in expressions)
    }
    kept = [
        {
            **group,
            "rules": [r for r in group["rules"] if r.get("alert") == alert or r.get("record") in wanted],
        }
        for group in groups
    ]
    return yaml.safe_dump({"groups": [group for group in kept if group["rules"]]})


def run_case(case: Case, folder: Path) -> None:
    """Errors: `AssertionError` with what promtool says."""
    rules = folder / "rules.yml"
    rules.write_text(rules_of(case.alert))
    expression = f'count(ALERTS{{alertname="{case.alert}",alertstate="firing"}}) or vector(0)'
    test = {
        "rule_files": [str(rules)],
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
