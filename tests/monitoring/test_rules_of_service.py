"""Alerts on the service and its jobs: fire, do not fire, data absent, after a restart."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.monitoring.promtool import Case, needs_prometheus, run_case

UP: Final = {'up{job="postroom",instance="a"}': "1x30"}
BEAT: Final = 'job_last_heartbeat_timestamp{job="jobs-runner",instance="a"}'
BEAT_B: Final = 'job_last_heartbeat_timestamp{job="jobs-runner",instance="b"}'
EMAIL_DLQ: Final = 'job_last_success_timestamp{job="email-dlq",instance="a"}'
READY_A: Final = 'postroom_ready{check="database",instance="a"}'
READY_B: Final = 'postroom_ready{check="database",instance="b"}'
PROBED: Final = 'postroom_http_requests_total{route="/readyz",status="503",instance="a"}'
PARTITIONS: Final = 'postroom_attempt_partition_days{instance="a"}'

RESTED_ON: Final = {
    **UP,
    BEAT: "0+60x30",
    'job_last_success_timestamp{job="outbox-delivery"}': "0+60x30",
    'outbox_queue_messages{status="dead"}': "0x30",
    'email_dlq_messages{status="dead"}': "0x30",
    'stripe_webhook_events_total{outcome="error"}': "0x30",
    "stripe_webhook_circuit_open_total": "0x30",
    'circuit_state{circuit="email"}': "0x30",
    READY_A: "1x30",
    'postroom_oldest_due_age_seconds{channel="email"}': "0x30",
    "postroom_ledger_drift": "0x30",
}

CASES: Final = (
    Case("Watchdog", "always fires", "1m", 1),
    Case(
        "PostroomDown", "fires when nothing is scraped", "4m", 1, {'up{job="postroom",instance="a"}': "0x9"}
    ),
    Case("PostroomDown", "fires when there is no target", "4m", 1),
    Case(
        "PostroomDown",
        "not while one of two processes answers",
        "9m",
        0,
        {'up{job="postroom",instance="a"}': "0x9", 'up{job="postroom",instance="b"}': "1x9"},
    ),
    Case("PostroomDown", "not at a restart", "9m", 0, {'up{job="postroom",instance="a"}': "1 1 0 0 1x9"}),
    Case("MetricsAbsent", "not while all are there", "20m", 0, RESTED_ON),
    *(
        Case(
            "MetricsAbsent",
            f"fires without {series}",
            "8m",
            1,
            {name: values for name, values in RESTED_ON.items() if name != series},
        )
        for series in RESTED_ON
        if not series.startswith("up")
    ),
    Case(
        "MetricsAbsent",
        "fires when the label job was renamed",
        "8m",
        1,
        {
            **{n: v for n, v in RESTED_ON.items() if n != BEAT},
            BEAT.replace("{job=", "{exported_job="): "0x30",
        },
    ),
    Case("MetricsAbsent", "not when nothing is scraped: PostroomDown says that", "20m", 0, {}),
    Case(
        "MetricsAbsent",
        "not at a restart",
        "20m",
        0,
        {**RESTED_ON, BEAT: "0 60 120 stale stale 300+60x30"},
    ),
    Case("ReadyzFailures", "fires after 5 minutes", "7m", 1, {READY_A: "1 0x9"}),
    Case("ReadyzFailures", "not before", "5m", 0, {READY_A: "1 0x9"}),
    Case(
        "ReadyzFailures",
        "fires when one of two processes is not ready",
        "7m",
        1,
        {READY_A: "0x9", READY_B: "1x9"},
    ),
    Case("ReadyzFailures", "fires on what a prober got", "9m", 1, {PROBED: "0 0+4x9"}),
    Case("ReadyzFailures", "not on old failures", "20m", 0, {PROBED: "40x30"}),
    Case("ReadyzFailures", "not while ready", "9m", 0, {READY_A: "1x9"}),
    Case("ReadyzFailures", "not at a restart", "9m", 0, {READY_A: "1 0 0 1x9"}),
    Case("ReadyzFailures", "not when data is absent: MetricsAbsent says that", "9m", 0, UP),
    Case("JobsRunnerSilent", "fires after 5 minutes", "6m", 1, {BEAT: "0x9"}),
    Case("JobsRunnerSilent", "not at 5 minutes", "5m", 0, {BEAT: "0x9"}),
    Case("JobsRunnerSilent", "not while it beats", "9m", 0, {BEAT: "0+60x9"}),
    Case(
        "JobsRunnerSilent",
        "the newest of the replicas' views counts",
        "9m",
        0,
        {BEAT: "0x9", BEAT_B: "0+60x9"},
    ),
    Case("JobsRunnerSilent", "not when data is absent: MetricsAbsent says that", "9m", 0, UP),
    Case("JobsRunnerSilent", "not after a restart", "9m", 0, {BEAT: "0 0 0 180+60x9"}),
    Case("JobStale", "fires after 15 minutes", "17m", 1, {EMAIL_DLQ: "0x20"}),
    Case("JobStale", "not at 15 minutes", "15m", 0, {EMAIL_DLQ: "0x20"}),
    Case("JobStale", "not while it succeeds", "20m", 0, {EMAIL_DLQ: "0+60x20"}),
    Case(
        "JobStale",
        "not for the runner itself",
        "20m",
        0,
        {EMAIL_DLQ.replace("email-dlq", "jobs-runner"): "0x20"},
    ),
    Case("JobStale", "not when data is absent: MetricsAbsent says that", "20m", 0, UP),
    Case("JobStale", "ends after a run by hand", "20m", 0, {EMAIL_DLQ: "0x18 1080x9"}),
    Case("AttemptPartitionsRunOut", "fires below 3 days", "3m", 1, {PARTITIONS: "2x9"}),
    Case("AttemptPartitionsRunOut", "not at 3 days", "3m", 0, {PARTITIONS: "3x9"}),
    Case("AttemptPartitionsRunOut", "not when data is absent", "3m", 0, UP),
    Case("AttemptPartitionsRunOut", "ends after a run of retention", "5m", 0, {PARTITIONS: "2 2 2 2 7x9"}),
)


@needs_prometheus
@pytest.mark.parametrize("case", CASES, ids=str)
def test_rule(case: Case, tmp_path: Path) -> None:
    run_case(case, tmp_path)
