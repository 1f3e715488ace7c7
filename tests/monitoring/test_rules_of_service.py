"""Alerts on the service and its jobs, in every situation that can arise."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.monitoring.promtool import (
    ABSENT,
    FIRES,
    QUIET,
    RESTART,
    Case,
    needs_prometheus,
    run_case,
)

UP: Final = {'up{job="postroom",instance="a"}': "1x30"}
BEAT: Final = 'job_last_heartbeat_timestamp{job="jobs-runner",instance="a"}'
BEAT_B: Final = 'job_last_heartbeat_timestamp{job="jobs-runner",instance="b"}'
EMAIL_DLQ: Final = 'job_last_success_timestamp{job="email-dlq",instance="a"}'
READY_A: Final = 'postroom_ready{check="database",instance="a"}'
READY_B: Final = 'postroom_ready{check="database",instance="b"}'
PROBED: Final = 'postroom_http_requests_total{route="/readyz",status="503",instance="a"}'
SCHEDULE: Final = 'postroom_schedule_behind_seconds{schedule="report.daily",instance="a"}'
SCHEDULE_B: Final = SCHEDULE.replace('"a"', '"b"')
PARTITIONS: Final = 'postroom_attempt_partition_days{instance="a"}'

RESTED_ON: Final = {
    **UP,
    BEAT: "0+60x30",
    'job_last_success_timestamp{job="outbox-delivery"}': "0+60x30",
    'job_last_success_timestamp{job="stripe-events"}': "0+60x30",
    'job_last_success_timestamp{job="email-dlq"}': "0+60x30",
    'job_last_success_timestamp{job="email-bounces"}': "0+60x30",
    'job_last_success_timestamp{job="schedules"}': "0+60x30",
    'job_last_success_timestamp{job="lease-rescue"}': "0+60x30",
    'job_last_success_timestamp{job="expiry"}': "0+60x30",
    'job_last_success_timestamp{job="retention"}': "0+60x30",
    'job_last_success_timestamp{job="sealing"}': "0+60x30",
    'job_last_success_timestamp{job="recovery"}': "0+60x30",
    'job_last_success_timestamp{job="stripe-reconcile"}': "0+60x30",
    'job_last_success_timestamp{job="stripe-load"}': "0+60x30",
    'job_last_success_timestamp{job="stripe-refresh"}': "0+60x30",
    'job_last_success_timestamp{job="stripe-access"}': "0+60x30",
    'job_last_success_timestamp{job="export-files"}': "0+60x30",
    'job_last_success_timestamp{job="canary"}': "0+60x30",
    'postroom_schedule_behind_seconds{schedule="other"}': "0x30",
    'outbox_queue_messages{status="dead"}': "0x30",
    'email_dlq_messages{status="dead"}': "0x30",
    'stripe_webhook_events_total{outcome="error"}': "0x30",
    "stripe_webhook_circuit_open_total": "0x30",
    'circuit_state{circuit="email"}': "0x30",
    'circuit_state{circuit="stripe"}': "0x30",
    READY_A: "1x30",
    'postroom_http_requests_total{route="/v1/stripe/webhook",status="503"}': "0x30",
    'postroom_attempts_total{channel="stripe",outcome="retry"}': "0x30",
    'postroom_deliveries{channel="email",status="pending"}': "0x30",
    'postroom_deliveries_failing{channel="webhook"}': "0x30",
    'postroom_deliveries_parked{channel="webhook"}': "0x30",
    "postroom_endpoints_disabled": "0x30",
    'postroom_channel_paused{channel="email"}': "0x30",
    'postroom_limits{channel="email",state="reached"}': "0x30",
    'postroom_dead_letters{channel="stripe",cause="ours"}': "0x30",
    "postroom_destination_circuits_open": "0x30",
    'postroom_oldest_due_age_seconds{channel="email"}': "0x30",
    "postroom_ledger_drift": "0x30",
    "postroom_longest_transaction_seconds": "0x30",
    'postroom_disk_free_ratio{volume="state"}': "0x30",
    "postroom_token_expiry_days": "0x30",
    "postroom_attempt_partition_days": "0x30",
    "postroom_stripe_events_missed_total": "0x30",
    'postroom_stripe_endpoints{status="disabled"}': "0x30",
    "postroom_stripe_reconcile_behind_seconds": "0x30",
    "postroom_stripe_silence_ratio": "0x30",
    'postroom_database_role_excess{process="api",privilege="owner"}': "0x30",
    "postroom_replication_asynchronous": "0x30",
    'email_adapter_outcomes_total{status="sent"}': "0x30",
    'postroom_email_events_total{provider="ses",kind="bounced"}': "0x30",
    'postroom_email_events_total{provider="ses",kind="soft_bounced"}': "0x30",
}

CASES: Final = (
    Case("PostroomDown", QUIET, "not for 2 minutes", "2m", 0, {'up{job="postroom",instance="a"}': "0x9"}),
    Case("MetricsAbsent", QUIET, "not for 5 minutes", "5m", 0, UP),
    Case("JobStale", QUIET, "not for a moment", "16m", 0, {EMAIL_DLQ: "0x20"}),
    Case("AttemptPartitionsRunOut", QUIET, "not for a moment", "0m", 0, {PARTITIONS: "2x9"}),
    Case("Watchdog", FIRES, "always fires", "1m", 1, UP),
    Case("Watchdog", ABSENT, "fires without any data", "1m", 1),
    Case(
        "PostroomDown",
        FIRES,
        "fires when nothing is scraped",
        "4m",
        1,
        {'up{job="postroom",instance="a"}': "0x9"},
    ),
    Case("PostroomDown", ABSENT, "fires when there is no target", "4m", 1),
    Case(
        "PostroomDown",
        QUIET,
        "not while one of two processes answers",
        "9m",
        0,
        {'up{job="postroom",instance="a"}': "0x9", 'up{job="postroom",instance="b"}': "1x9"},
    ),
    Case(
        "PostroomDown",
        RESTART,
        "not at a restart",
        "9m",
        0,
        {'up{job="postroom",instance="a"}': "1 1 0 0 1x9"},
    ),
    Case("MetricsAbsent", QUIET, "not while all are there", "20m", 0, RESTED_ON),
    *(
        Case(
            "MetricsAbsent",
            ABSENT,
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
        FIRES,
        "fires when the label job was renamed",
        "8m",
        1,
        {
            **{n: v for n, v in RESTED_ON.items() if n != BEAT},
            BEAT.replace("{job=", "{exported_job="): "0x30",
        },
    ),
    Case("MetricsAbsent", ABSENT, "not when nothing is scraped: PostroomDown says that", "20m", 0, {}),
    Case(
        "MetricsAbsent",
        RESTART,
        "not at a restart",
        "20m",
        0,
        {**RESTED_ON, BEAT: "0 60 120 stale stale 300+60x30"},
    ),
    Case("ReadyzFailures", FIRES, "fires after 5 minutes", "7m", 1, {READY_A: "1 0x9"}),
    Case("ReadyzFailures", QUIET, "not before", "5m", 0, {READY_A: "1 0x9"}),
    Case(
        "ReadyzFailures",
        FIRES,
        "fires when one of two processes is not ready",
        "7m",
        1,
        {READY_A: "0x9", READY_B: "1x9"},
    ),
    Case("ReadyzFailures", FIRES, "fires on what a prober got", "9m", 1, {PROBED: "0 0+4x9"}),
    Case("ReadyzFailures", QUIET, "not on old failures", "20m", 0, {PROBED: "40x30"}),
    Case("ReadyzFailures", QUIET, "not while ready", "9m", 0, {READY_A: "1x9"}),
    Case("ReadyzFailures", RESTART, "not at a restart", "9m", 0, {READY_A: "1 0 0 1x9"}),
    Case("ReadyzFailures", ABSENT, "not when data is absent: MetricsAbsent says that", "9m", 0, UP),
    Case("JobsRunnerSilent", FIRES, "fires after 5 minutes", "7m", 1, {BEAT: "0x9"}),
    Case("JobsRunnerSilent", QUIET, "not at 5 minutes", "5m", 0, {BEAT: "0x9"}),
    Case(
        "JobsRunnerSilent",
        QUIET,
        "not before the first beat after an outage",
        "6m",
        0,
        {BEAT: "0x6 400+60x9"},
    ),
    Case("JobsRunnerSilent", QUIET, "not while it beats", "9m", 0, {BEAT: "0+60x9"}),
    Case(
        "JobsRunnerSilent",
        QUIET,
        "the newest of the replicas' views counts",
        "9m",
        0,
        {BEAT: "0x9", BEAT_B: "0+60x9"},
    ),
    Case("JobsRunnerSilent", ABSENT, "not when data is absent: MetricsAbsent says that", "9m", 0, UP),
    Case("JobsRunnerSilent", RESTART, "not after a restart", "9m", 0, {BEAT: "0 0 0 180+60x9"}),
    Case("JobStale", FIRES, "fires after 15 minutes", "17m", 1, {EMAIL_DLQ: "0x20"}),
    Case("JobStale", QUIET, "not at 15 minutes", "15m", 0, {EMAIL_DLQ: "0x20"}),
    Case("JobStale", QUIET, "not while it succeeds", "20m", 0, {EMAIL_DLQ: "0+60x20"}),
    Case(
        "JobStale",
        QUIET,
        "not for the runner itself",
        "20m",
        0,
        {EMAIL_DLQ.replace("email-dlq", "jobs-runner"): "0x20"},
    ),
    Case("JobStale", ABSENT, "not when data is absent: MetricsAbsent says that", "20m", 0, UP),
    Case("JobStale", QUIET, "ends after a run by hand", "20m", 0, {EMAIL_DLQ: "0x18 1080x9"}),
    Case("ScheduleStale", FIRES, "fires after 15 minutes", "18m", 1, {SCHEDULE: "0+60x20"}),
    Case(
        "ScheduleStale",
        FIRES,
        "once for two replicas",
        "18m",
        1,
        dict.fromkeys((SCHEDULE, SCHEDULE_B), "0+60x20"),
    ),
    Case("ScheduleStale", QUIET, "not at 15 minutes", "16m", 0, {SCHEDULE: "0+60x15 900x5"}),
    Case("ScheduleStale", QUIET, "not for a moment", "16m", 0, {SCHEDULE: "0+60x20"}),
    Case("ScheduleStale", QUIET, "ends once it is published", "20m", 0, {SCHEDULE: "0+60x18 4x9"}),
    Case("ScheduleStale", QUIET, "ends once it is paused", "20m", 0, {SCHEDULE: "0+60x18 stale"}),
    Case("ScheduleStale", ABSENT, "not when data is absent: MetricsAbsent says that", "20m", 0, UP),
    Case("ScheduleStale", RESTART, "not after a restart", "20m", 0, {SCHEDULE: "4x8 stale stale 240 4x20"}),
    Case("AttemptPartitionsRunOut", FIRES, "fires below 3 days", "3m", 1, {PARTITIONS: "2x9"}),
    Case("AttemptPartitionsRunOut", QUIET, "not at 3 days", "3m", 0, {PARTITIONS: "3x9"}),
    Case(
        "JobStale",
        RESTART,
        "not after a restart within its 15 minutes",
        "20m",
        0,
        {EMAIL_DLQ: "0+60x8 stale stale stale 480 480 480 900+60x20"},
    ),
    Case(
        "JobStale",
        RESTART,
        "fires when it fails after a restart, too",
        "20m",
        1,
        {EMAIL_DLQ: "0x8 stale stale 0x30"},
    ),
    Case(
        "JobStale",
        FIRES,
        "each job on its own",
        "20m",
        2,
        {EMAIL_DLQ: "0x30", EMAIL_DLQ.replace("email-dlq", "retention"): "0x30"},
    ),
    Case(
        "AttemptPartitionsRunOut",
        RESTART,
        "not after a restart",
        "9m",
        0,
        {PARTITIONS: "7 7 stale stale 7x9"},
    ),
    Case("AttemptPartitionsRunOut", ABSENT, "not when data is absent", "3m", 0, UP),
    Case(
        "AttemptPartitionsRunOut",
        QUIET,
        "ends after a run of retention",
        "5m",
        0,
        {PARTITIONS: "2 2 2 2 7x9"},
    ),
)


@needs_prometheus
@pytest.mark.parametrize("case", CASES, ids=str)
def test_rule(case: Case, tmp_path: Path) -> None:
    run_case(case, tmp_path)
