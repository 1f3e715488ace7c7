"""Alerts on queues and resources, in every situation that can arise."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.monitoring.promtool import (
    ABSENT,
    FIRES,
    QUIET,
    REPLAY,
    RESTART,
    Case,
    needs_prometheus,
    run_case,
)

KEYLESS: Final = 'postroom_attempts_total{channel="email",outcome="key_missing",instance="a"}'
UP: Final = {'up{job="postroom",instance="a"}': "1x90"}


def dead_letter_cases(alert: str, series: str) -> tuple[Case, ...]:
    """What both of the seed's dead-letter alerts, and Stripe's, must do."""
    other = series.replace('instance="a"', 'instance="b"')
    return (
        Case(alert, FIRES, "fires when one more died", "21m", 1, {series: "3x20 4x20"}),
        Case(alert, QUIET, "not while their number stands", "30m", 0, {series: "3x40"}),
        Case(alert, FIRES, "for 15 minutes after the last one", "34m", 1, {series: "3x20 4x40"}),
        Case(alert, QUIET, "no longer than that", "37m", 0, {series: "3x20 4x40"}),
        Case(
            alert,
            REPLAY,
            "fires when some die after a replay, though fewer than before",
            "24m",
            1,
            {series: "5x20 0 0 2x20"},
        ),
        Case(alert, REPLAY, "not after a replay that went well", "30m", 0, {series: "5x20 0x40"}),
        Case(alert, RESTART, "not after a restart", "30m", 0, {series: "5x20 stale stale 5x40"}),
        Case(
            alert,
            FIRES,
            "not twice for two replicas",
            "21m",
            1,
            {series: "3x20 4x20", other: "3x20 4x20"},
        ),
        Case(alert, ABSENT, "not when data is absent: MetricsAbsent says that", "30m", 0, UP),
    )


def threshold_cases(
    alert: str, series: str, *, bad: str, good: str, at: str, not_at: str
) -> tuple[Case, ...]:
    """Alerts on a level: a level that is bad from the start fires at `at`, not at `not_at`."""
    return (
        Case(alert, QUIET, f"not at {bad} for a moment", not_at, 0, {series: f"{bad}x90"}),
        Case(alert, FIRES, f"fires at {bad}", at, 1, {series: f"{bad}x90"}),
        Case(alert, QUIET, f"not at {good}", at, 0, {series: f"{good}x90"}),
        Case(alert, ABSENT, "not when data is absent", at, 0, UP),
        Case(
            alert,
            RESTART,
            "ends when it is mended, also over a restart",
            "80m",
            0,
            {series: f"{bad}x60 stale {good}x90"},
        ),
    )


def rate_cases(alert: str, kind: str, *, bad: str, few: str, over: str) -> tuple[Case, ...]:
    """Of 100 mails a minute so many are too `bad`, so `few` of few mails are not; none come at `over`."""
    series = f'postroom_email_events_total{{provider="ses",kind="{kind}",instance="a"}}'
    other = series.replace('"a"', '"b"')
    sent = {f'email_adapter_outcomes_total{{status="sent",instance="{i}"}}': "0+100x2000" for i in "ab"}
    told = {series: f"0+{bad}x90", other: f"0+{bad}x90"}
    return (
        Case(alert, FIRES, "once for two replicas", "40m", 1, {**told, **sent}),
        Case(alert, QUIET, "not for a few", "40m", 0, {series: few, **dict.fromkeys(sent, "0+1x2000")}),
        Case(alert, QUIET, "not for what is over", over, 0, {**told, **sent}),
        Case(alert, QUIET, "not while none come", "40m", 0, {series: "50x90", **sent}),
        Case(alert, ABSENT, "not when data is absent", "40m", 0, UP),
        Case(alert, RESTART, "not after a restart", "40m", 0, {series: "50x20 stale stale 50x40", **sent}),
    )


FAILING: Final = 'postroom_deliveries_failing{channel="stripe",instance="a"}'
BACKLOG: Final = 'postroom_deliveries{channel="email",status="pending",instance="a"}'

CASES: Final = (
    *dead_letter_cases("OutboxDeadLettersGrowing", 'outbox_queue_messages{status="dead",instance="a"}'),
    *rate_cases("EmailBounceRate", "bounced", bad="6", few="0x20 3x70", over="110m"),
    *rate_cases("EmailBounceRate", "soft_bounced", bad="21", few="0x20 3x70", over="110m"),
    Case(
        "EmailBounceRate",
        QUIET,
        "not for full mailboxes",
        "40m",
        0,
        {
            'postroom_email_events_total{provider="ses",kind="soft_bounced"}': "0+19x90",
            'postroom_email_events_total{provider="ses",kind="deferred"}': "0+50x90",
            'email_adapter_outcomes_total{status="sent"}': "0+100x2000",
        },
    ),
    *rate_cases("EmailComplaintRate", "complained", bad="1", few="0x20 4x70", over="160m"),
    *dead_letter_cases("EmailDeadLettersGrowing", 'email_dlq_messages{status="dead",instance="a"}'),
    *dead_letter_cases(
        "StripeDeadLettersGrowing", 'postroom_dead_letters{channel="stripe",cause="ours",instance="a"}'
    ),
    Case(
        "StripeDeadLettersGrowing",
        QUIET,
        "not for another channel",
        "21m",
        0,
        {'postroom_dead_letters{channel="email",cause="ours"}': "3x20 4x20"},
    ),
    *threshold_cases(
        "DeliveriesLate",
        'postroom_oldest_due_age_seconds{channel="email",instance="a"}',
        bad="301",
        good="300",
        at="3m",
        not_at="0m",
    ),
    *threshold_cases("DeliveriesFailing", FAILING, bad="1", good="0", at="2m", not_at="0m"),
    Case(
        "DeliveriesFailing",
        FIRES,
        "for each channel, not for each replica",
        "3m",
        2,
        {
            FAILING: "1x9",
            FAILING.replace('"a"', '"b"'): "1x9",
            FAILING.replace("stripe", "webhook"): "7x9",
        },
    ),
    Case(
        "DeliveriesFailing",
        REPLAY,
        "fires when what was replayed fails again",
        "9m",
        1,
        {FAILING: "0x5 3x9"},
    ),
    Case("EncryptionKeyMissing", FIRES, "fires when they wait", "16m", 1, {KEYLESS: "0x9 0+2x40"}),
    Case("EncryptionKeyMissing", QUIET, "not for those of a moment", "12m", 0, {KEYLESS: "0x9 0+2x40"}),
    Case("EncryptionKeyMissing", QUIET, "not for those of before", "40m", 0, {KEYLESS: "7x90"}),
    Case("EncryptionKeyMissing", QUIET, "ends when the key is there", "40m", 0, {KEYLESS: "0+2x20 42x40"}),
    Case(
        "EncryptionKeyMissing",
        REPLAY,
        "fires when what was replayed waits",
        "30m",
        1,
        {KEYLESS: "7x20 8+1x20"},
    ),
    Case(
        "EncryptionKeyMissing", RESTART, "not after a restart", "30m", 0, {KEYLESS: "7x20 stale stale 7x40"}
    ),
    Case("EncryptionKeyMissing", ABSENT, "not when data is absent", "30m", 0, UP),
    *threshold_cases(
        "CircuitOpenLong",
        'circuit_state{circuit="email",instance="a"}',
        bad="1",
        good="0",
        at="16m",
        not_at="14m",
    ),
    Case(
        "CircuitOpenLong",
        FIRES,
        "half-open now and then is not closed",
        "16m",
        1,
        {'circuit_state{circuit="email"}': "1 0.5 1 0.5 1x20"},
    ),
    Case(
        "CircuitOpenLong",
        QUIET,
        "not when it closed in between",
        "20m",
        0,
        {'circuit_state{circuit="email"}': "1x10 0 1x20"},
    ),
    *threshold_cases(
        "DestinationCircuitOpenLong",
        'postroom_destination_circuits_open{instance="a"}',
        bad="2",
        good="0",
        at="16m",
        not_at="14m",
    ),
    *threshold_cases(
        "LedgerDrift", 'postroom_ledger_drift{instance="a"}', bad="1", good="0", at="2m", not_at="0m"
    ),
    Case(
        "LedgerDrift",
        FIRES,
        "fires when something ended twice",
        "2m",
        1,
        {'postroom_ledger_drift{instance="a"}': "-1x9"},
    ),
    Case(
        "BacklogGrowing",
        FIRES,
        "fires when 10 minutes long too many wait",
        "49m",
        1,
        {BACKLOG: "5x20 200x40"},
    ),
    Case(
        "BacklogGrowing",
        QUIET,
        "not when a burst drains",
        "32m",
        0,
        {BACKLOG: "5x20 900 700 400 200 100 5x40"},
    ),
    Case("BacklogGrowing", QUIET, "not for 9 minutes", "30m", 0, {BACKLOG: "5x20 200x40"}),
    Case("BacklogGrowing", QUIET, "not at a steady depth", "60m", 0, {BACKLOG: "5000x90"}),
    Case(
        "BacklogGrowing",
        RESTART,
        "not after a restart",
        "60m",
        0,
        {BACKLOG: "200x20 stale stale 200x60"},
    ),
    Case(
        "BacklogGrowing",
        QUIET,
        "not when records wait for their files to close",
        "49m",
        0,
        {
            BACKLOG.replace("email", "export"): "5x20 200x40",
            'postroom_oldest_due_age_seconds{channel="export",instance="a"}': "0x90",
        },
    ),
    Case(
        "BacklogGrowing",
        FIRES,
        "fires when records are late, too",
        "49m",
        1,
        {
            BACKLOG.replace("email", "export"): "5x20 200x40",
            'postroom_oldest_due_age_seconds{channel="export",instance="a"}': "0x20 31x70",
        },
    ),
    Case("BacklogGrowing", ABSENT, "not when data is absent", "60m", 0, UP),
    *threshold_cases(
        "TransactionHeldLong",
        'postroom_longest_transaction_seconds{instance="a"}',
        bad="601",
        good="600",
        at="3m",
        not_at="0m",
    ),
    *threshold_cases(
        "ReplicationNotSynchronous",
        'postroom_replication_asynchronous{instance="a"}',
        bad="1",
        good="0",
        at="7m",
        not_at="3m",
    ),
    *threshold_cases(
        "DiskNearlyFull",
        'postroom_disk_free_ratio{volume="exports",instance="a"}',
        bad="0.09",
        good="0.1",
        at="4m",
        not_at="1m",
    ),
    *threshold_cases(
        "TokenExpiresSoon",
        'postroom_token_expiry_days{instance="a"}',
        bad="6.9",
        good="7",
        at="6m",
        not_at="4m",
    ),
    Case(
        "TokenExpiresSoon",
        QUIET,
        "not when none ends",
        "9m",
        0,
        {"postroom_token_expiry_days": "Inf Inf Inf Inf Inf Inf Inf Inf Inf Inf"},
    ),
    *threshold_cases(
        "DatabaseRoleExcessive",
        'postroom_database_role_excess{process="api",privilege="owner",instance="a"}',
        bad="1",
        good="0",
        at="6m",
        not_at="4m",
    ),
    *threshold_cases(
        "CertificateExpiresSoon",
        'postroom_certificate_expiry_days{certificate="email_ca",instance="a"}',
        bad="13.9",
        good="14",
        at="6m",
        not_at="4m",
    ),
    Case(
        "CertificateExpiresSoon",
        FIRES,
        "fires when it has ended",
        "9m",
        1,
        {'postroom_certificate_expiry_days{certificate="email_ca"}': "-1x20"},
    ),
    *threshold_cases(
        "DeliveriesParked",
        'postroom_deliveries_parked{channel="webhook",instance="a"}',
        bad="1",
        good="0",
        at="6m",
        not_at="4m",
    ),
    Case(
        "DeliveriesParked",
        REPLAY,
        "fires when letters of a parked endpoint were replayed",
        "20m",
        1,
        {'postroom_deliveries_parked{channel="webhook"}': "0x10 3x20"},
    ),
    *threshold_cases(
        "EndpointDisabled",
        'postroom_endpoints_disabled{instance="a"}',
        bad="1",
        good="0",
        at="2m",
        not_at="30s",
    ),
    *threshold_cases(
        "ChannelPausedLong",
        'postroom_channel_paused{channel="email",instance="a"}',
        bad="1",
        good="0",
        at="31m",
        not_at="29m",
    ),
    *threshold_cases(
        "LimitReachedLong",
        'postroom_limits{channel="email",state="reached",instance="a"}',
        bad="1",
        good="0",
        at="31m",
        not_at="29m",
    ),
    Case(
        "DeliveriesLate",
        QUIET,
        "not of a paused channel: ChannelPausedLong tells of that",
        "20m",
        0,
        {
            'postroom_oldest_due_age_seconds{channel="email"}': "0+60x40",
            'postroom_channel_paused{channel="email"}': "1x40",
        },
    ),
    Case(
        "DeliveriesLate",
        FIRES,
        "though another channel is paused",
        "20m",
        1,
        {
            'postroom_oldest_due_age_seconds{channel="email"}': "0+60x40",
            'postroom_channel_paused{channel="email"}': "0x40",
            'postroom_channel_paused{channel="export"}': "1x40",
        },
    ),
    Case(
        "BacklogGrowing",
        QUIET,
        "not of a paused channel",
        "40m",
        0,
        {BACKLOG: "0+50x60", 'postroom_channel_paused{channel="email"}': "1x60"},
    ),
    Case(
        "DeliveriesLate",
        REPLAY,
        "not when a replay makes many due at once and they go out",
        "40m",
        0,
        {'postroom_oldest_due_age_seconds{channel="email"}': "0x20 60 120 180 0x40"},
    ),
    Case(
        "BacklogGrowing",
        REPLAY,
        "not when what was replayed goes out",
        "40m",
        0,
        {BACKLOG: "5x20 900 500 200 100 5x40"},
    ),
    Case(
        "BacklogGrowing",
        REPLAY,
        "fires when what was replayed stays",
        "40m",
        1,
        {BACKLOG: "5x20 905x40"},
    ),
)


@needs_prometheus
@pytest.mark.parametrize("case", CASES, ids=str)
def test_rule(case: Case, tmp_path: Path) -> None:
    run_case(case, tmp_path)
