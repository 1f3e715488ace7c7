"""Alerts on queues, Stripe, resources, budgets: fire, do not, data absent, after a replay or restart."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.monitoring.promtool import Case, needs_prometheus, run_case

UP: Final = {'up{job="postroom",instance="a"}': "1x90"}


def dead_letter_cases(alert: str, series: str) -> tuple[Case, ...]:
    """What both of the seed's dead-letter alerts, and Stripe's, must do."""
    other = series.replace('instance="a"', 'instance="b"')
    return (
        Case(alert, "fires when one more died", "21m", 1, {series: "3x20 4x20"}),
        Case(alert, "not while their number stands", "30m", 0, {series: "3x40"}),
        Case(alert, "ends 15 minutes after the last one", "40m", 0, {series: "3x20 4x40"}),
        Case(
            alert,
            "fires when some die after a replay, though fewer than before",
            "24m",
            1,
            {series: "5x20 0 0 2x20"},
        ),
        Case(alert, "not after a replay that went well", "30m", 0, {series: "5x20 0x40"}),
        Case(alert, "not after a restart", "30m", 0, {series: "5x20 stale stale 5x40"}),
        Case(alert, "not twice for two replicas", "21m", 1, {series: "3x20 4x20", other: "3x20 4x20"}),
        Case(alert, "not when data is absent: MetricsAbsent says that", "30m", 0, UP),
    )


def threshold_cases(alert: str, series: str, *, bad: str, good: str, at: str) -> tuple[Case, ...]:
    """What every alert on a level must do; at `at` a level that is bad from the start fires."""
    return (
        Case(alert, f"fires at {bad}", at, 1, {series: f"{bad}x90"}),
        Case(alert, f"not at {good}", at, 0, {series: f"{good}x90"}),
        Case(alert, "not when data is absent", at, 0, UP),
        Case(
            alert,
            "ends when it is mended, also over a restart",
            "80m",
            0,
            {series: f"{bad}x60 stale {good}x90"},
        ),
    )


def stripe(outcome: str) -> str:
    return f'stripe_webhook_events_total{{outcome="{outcome}",instance="a"}}'


def attempts(outcome: str) -> str:
    return f'postroom_attempts_total{{channel="stripe",outcome="{outcome}",instance="a"}}'


def answered(status: int) -> str:
    return f'postroom_http_requests_total{{route="/v1/stripe/webhook",status="{status}",instance="a"}}'


OPENED: Final = 'stripe_webhook_circuit_open_total{instance="a"}'
BACKLOG: Final = 'postroom_deliveries{channel="email",status="pending",instance="a"}'
BURN: Final = "StripeEffectsBudgetBurn"
REFUSED: Final = "WebhookAcceptanceBudgetBurn"

CASES: Final = (
    *dead_letter_cases("OutboxDeadLettersGrowing", 'outbox_queue_messages{status="dead",instance="a"}'),
    *dead_letter_cases("EmailDeadLettersGrowing", 'email_dlq_messages{status="dead",instance="a"}'),
    *dead_letter_cases(
        "StripeDeadLettersGrowing", 'postroom_dead_letters{channel="stripe",cause="ours",instance="a"}'
    ),
    Case(
        "StripeDeadLettersGrowing",
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
    ),
    *threshold_cases(
        "CircuitOpenLong", 'circuit_state{circuit="email",instance="a"}', bad="1", good="0", at="16m"
    ),
    Case(
        "CircuitOpenLong",
        "half-open now and then is not closed",
        "16m",
        1,
        {'circuit_state{circuit="email"}': "1 0.5 1 0.5 1x20"},
    ),
    Case(
        "CircuitOpenLong",
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
    ),
    *threshold_cases("LedgerDrift", 'postroom_ledger_drift{instance="a"}', bad="1", good="0", at="2m"),
    Case(
        "LedgerDrift",
        "fires when something ended twice",
        "2m",
        1,
        {'postroom_ledger_drift{instance="a"}': "-1x9"},
    ),
    Case("BacklogGrowing", "fires when 10 minutes long too many wait", "32m", 1, {BACKLOG: "5x20 200x40"}),
    Case("BacklogGrowing", "not when a burst drains", "32m", 0, {BACKLOG: "5x20 900 700 400 200 100 5x40"}),
    Case("BacklogGrowing", "not at a steady depth", "60m", 0, {BACKLOG: "5000x90"}),
    Case("BacklogGrowing", "not after a restart", "60m", 0, {BACKLOG: "200x20 stale stale 200x60"}),
    Case("BacklogGrowing", "not when data is absent", "60m", 0, UP),
    Case(
        "StripeWebhookErrors",
        "fires above 10 %",
        "11m",
        1,
        {stripe("error"): "0+12x20", stripe("processed"): "0+88x20"},
    ),
    Case(
        "StripeWebhookErrors",
        "not at 10 %",
        "11m",
        0,
        {stripe("error"): "0+10x20", stripe("processed"): "0+90x20"},
    ),
    Case(
        "StripeWebhookErrors",
        "not without traffic",
        "11m",
        0,
        {stripe("error"): "7x20", stripe("processed"): "9x20"},
    ),
    Case(
        "StripeWebhookErrors",
        "not for one stranger's request",
        "11m",
        0,
        {stripe("error"): "0 0 0 1x20", stripe("processed"): "0x20"},
    ),
    Case("StripeWebhookErrors", "not when data is absent", "11m", 0, UP),
    Case(
        "StripeWebhookErrors",
        "not after a restart",
        "30m",
        0,
        {stripe("error"): "500x10 stale 500x30", stripe("processed"): "10x10 stale 10+10x30"},
    ),
    Case("StripeCircuitOpened", "fires when it opened", "12m", 1, {OPENED: "4x10 5x30"}),
    Case("StripeCircuitOpened", "fires on the very first opening", "12m", 1, {OPENED: "0x10 1x30"}),
    Case("StripeCircuitOpened", "not while the count stands", "30m", 0, {OPENED: "4x40"}),
    Case("StripeCircuitOpened", "ends 15 minutes later", "28m", 0, {OPENED: "4x10 5x30"}),
    Case("StripeCircuitOpened", "not after a restart", "25m", 0, {OPENED: "4x10 stale stale 4x30"}),
    Case("StripeCircuitOpened", "not when data is absent", "25m", 0, UP),
    *threshold_cases(
        "TransactionHeldLong",
        'postroom_longest_transaction_seconds{instance="a"}',
        bad="601",
        good="600",
        at="3m",
    ),
    *threshold_cases(
        "DiskNearlyFull",
        'postroom_disk_free_ratio{volume="exports",instance="a"}',
        bad="0.09",
        good="0.1",
        at="4m",
    ),
    *threshold_cases(
        "TokenExpiresSoon", 'postroom_token_expiry_days{instance="a"}', bad="6.9", good="7", at="6m"
    ),
    Case(
        "TokenExpiresSoon",
        "not when none ends",
        "9m",
        0,
        {"postroom_token_expiry_days": "Inf Inf Inf Inf Inf Inf Inf Inf Inf Inf"},
    ),
    *threshold_cases(
        "CertificateExpiresSoon",
        'postroom_certificate_expiry_days{certificate="email_ca",instance="a"}',
        bad="13.9",
        good="14",
        at="6m",
    ),
    Case(
        "CertificateExpiresSoon",
        "fires when it has ended",
        "9m",
        1,
        {'postroom_certificate_expiry_days{certificate="email_ca"}': "-1x20"},
    ),
    Case(
        BURN,
        "fires fast and slow at 20 %",
        "70m",
        2,
        {attempts("retry"): "0+2x90", attempts("delivered"): "0+8x90"},
    ),
    Case(
        BURN,
        "fires slow only at 8 %",
        "70m",
        1,
        {attempts("retry"): "0+8x90", attempts("delivered"): "0+92x90"},
    ),
    Case(
        BURN,
        "waiting for the breaker counts",
        "70m",
        2,
        {attempts("circuit_open"): "0+2x90", attempts("delivered"): "0+8x90"},
    ),
    Case(BURN, "not at 1 %", "70m", 0, {attempts("retry"): "0+1x90", attempts("delivered"): "0+99x90"}),
    Case(BURN, "not without traffic", "70m", 0, {attempts("retry"): "5x90", attempts("delivered"): "9x90"}),
    Case(BURN, "not when data is absent", "70m", 0, UP),
    Case(
        BURN,
        "fast ends soon after the trouble",
        "67m",
        1,
        {attempts("retry"): "0+2x60 120x30", attempts("delivered"): "0+8x90"},
    ),
    Case(
        REFUSED, "fires fast and slow at 2 %", "70m", 2, {answered(503): "0+2x90", answered(200): "0+98x90"}
    ),
    Case(
        REFUSED,
        "a second replica is added up",
        "70m",
        2,
        {answered(503): "0+2x90", answered(200).replace('"a"', '"b"'): "0+98x90"},
    ),
    Case(REFUSED, "not for bad signatures", "70m", 0, {answered(400): "0+50x90", answered(200): "0+50x90"}),
    Case(REFUSED, "not at 0.1 %", "70m", 0, {answered(503): "0+1x90", answered(200): "0+999x90"}),
    Case(
        REFUSED,
        "not after a restart",
        "70m",
        0,
        {answered(503): "9x40 stale 0x60", answered(200): "90+9x40 stale 0+9x60"},
    ),
    Case(REFUSED, "not when data is absent", "70m", 0, UP),
)


@needs_prometheus
@pytest.mark.parametrize("case", CASES, ids=str)
def test_rule(case: Case, tmp_path: Path) -> None:
    run_case(case, tmp_path)
