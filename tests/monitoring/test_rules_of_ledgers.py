"""With several ledgers each alert is of one of them: neither hides another's, nor adds to it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from tests.monitoring.promtool import FIRES, Case, needs_prometheus, run_case
from tests.monitoring.test_rules_are_tried import CASES

OF_PROCESSES: Final = frozenset(
    {
        *("Watchdog", "PostroomDown", "MetricsAbsent", "WebhookAcceptanceBudgetBurn"),
        *("DiskNearlyFull", "CertificateExpiresSoon"),
    }
)
"""What they read has no ledger."""
FIRST: Final = {
    case.alert: case
    for case in reversed(CASES)
    if case.situation is FIRES and case.firing and "postroom_http" not in str(case.series)
}
LEDGERS: Final = ("eu", "us")


def in_ledger(series: str, ledger: str) -> str:
    """A series of this ledger."""
    name, _, labels = series.partition("{")
    return f'{name}{{ledger="{ledger}",{labels}' if labels else f'{name}{{ledger="{ledger}"}}'


def test_every_alert_is_tried_that_reads_what_a_ledger_tells() -> None:
    assert {case.alert for case in CASES} - FIRST.keys() <= OF_PROCESSES
    assert in_ledger('a{b="c"}', "eu") == 'a{ledger="eu",b="c"}'


@needs_prometheus
@pytest.mark.parametrize("alert", sorted(FIRST.keys() - OF_PROCESSES))
def test_it_fires_for_each_ledger(alert: str, tmp_path: Path) -> None:
    case = FIRST[alert]
    series = {in_ledger(name, ledger): v for name, v in case.series.items() for ledger in LEDGERS}
    run_case(replace(case, firing=case.firing * len(LEDGERS), series=series), tmp_path)


@needs_prometheus
def test_a_ledger_whose_runner_is_silent_is_not_hidden_by_another(tmp_path: Path) -> None:
    beat = 'job_last_heartbeat_timestamp{job="jobs-runner"}'
    series = {in_ledger(beat, "eu"): "0x30", in_ledger(beat, "us"): "0+60x30"}
    run_case(Case("JobsRunnerSilent", FIRES, "of one of two ledgers", "20m", 1, series), tmp_path)
