"""Alerts on Stripe's events and the error budgets, in every situation that can arise."""

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

UP: Final = {'up{job="postroom",instance="a"}': "1x90"}


def stripe(outcome: str) -> str:
    return f'stripe_webhook_events_total{{outcome="{outcome}",instance="a"}}'


def attempts(outcome: str) -> str:
    return f'postroom_attempts_total{{channel="stripe",outcome="{outcome}",instance="a"}}'


def answered(status: int) -> str:
    return f'postroom_http_requests_total{{route="/v1/stripe/webhook",status="{status}",instance="a"}}'


OPENED: Final = 'stripe_webhook_circuit_open_total{instance="a"}'
BURN: Final = "StripeEffectsBudgetBurn"
REFUSED: Final = "WebhookAcceptanceBudgetBurn"

MISSED: Final = 'postroom_stripe_events_missed_total{instance="a"}'
DISABLED: Final = 'postroom_stripe_endpoints{status="disabled",instance="a"}'
BEHIND: Final = 'postroom_stripe_reconcile_behind_seconds{instance="a"}'
SILENT: Final = 'postroom_stripe_silence_ratio{instance="a"}'
DRIFT: Final = (
    ("StripeEventsMissed", MISSED, "4x10 5x30", "4x40"),
    ("StripeEndpointDisabled", DISABLED, "1x40", "0x40"),
    ("StripeReconcileBehind", BEHIND, "86401x40", "86400x40"),
    ("StripeSilent", SILENT, "1.1x40", "1x40"),
)

CASES: Final = (
    *(
        case
        for alert, series, bad, good in DRIFT
        for case in (
            Case(
                alert,
                FIRES,
                "once for two replicas",
                "20m",
                1,
                {series: bad, series.replace('"a"', '"b"'): bad},
            ),
            Case(alert, QUIET, "not while all is well", "20m", 0, {series: good}),
            Case(alert, ABSENT, "not when data is absent: MetricsAbsent says that", "20m", 0, UP),
            Case(
                alert,
                RESTART,
                "not after a restart",
                "20m",
                0,
                {series: f"{good.replace('x40', 'x9')} stale stale {good}"},
            ),
        )
    ),
    Case("StripeEventsMissed", QUIET, "for 15 minutes and no longer", "30m", 0, {MISSED: "4x10 5x30"}),
    Case(
        "StripeEndpointDisabled",
        FIRES,
        "also where there is none",
        "1m",
        1,
        {DISABLED.replace("disabled", "missing"): "1x9"},
    ),
    Case(
        "StripeEndpointDisabled",
        QUIET,
        "not where nobody knows",
        "9m",
        0,
        {DISABLED.replace("disabled", "unknown"): "1x9"},
    ),
    Case("StripeSilent", QUIET, "not for a moment", "9m", 0, {SILENT: "1.1x40"}),
    Case(
        "StripeWebhookErrors",
        FIRES,
        "for as long as they are in its 10 minutes",
        "12m",
        1,
        {stripe("error"): "0x3 20x30", stripe("processed"): "0+5x30"},
    ),
    Case(
        "StripeWebhookErrors",
        QUIET,
        "no longer than that",
        "16m",
        0,
        {stripe("error"): "0x3 20x30", stripe("processed"): "0+5x30"},
    ),
    Case("StripeCircuitOpened", FIRES, "for 15 minutes", "24m", 1, {OPENED: "4x10 5x30"}),
    *(
        case
        for alert, failed, well in (
            (BURN, attempts("retry"), attempts("delivered")),
            (REFUSED, answered(503), answered(200)),
        )
        for case in (
            Case(
                alert,
                QUIET,
                "neither for 5 bad minutes after good hours",
                "89m",
                0,
                {failed: "0x84 10+10x9", well: f"0+{100 if alert == REFUSED else 20}x99"},
            ),
            Case(
                alert,
                QUIET,
                "neither for a bad hour that has been over for 35 minutes",
                "96m",
                0,
                {failed: "0+2x60 120x60", well: "0+8x120"},
            ),
        )
    ),
    Case(
        "StripeWebhookErrors",
        FIRES,
        "fires above 10 %",
        "11m",
        1,
        {stripe("error"): "0+12x20", stripe("processed"): "0+88x20"},
    ),
    Case(
        "StripeWebhookErrors",
        QUIET,
        "not at 10 %",
        "11m",
        0,
        {stripe("error"): "0+10x20", stripe("processed"): "0+90x20"},
    ),
    Case(
        "StripeWebhookErrors",
        QUIET,
        "not without traffic",
        "11m",
        0,
        {stripe("error"): "7x20", stripe("processed"): "9x20"},
    ),
    Case(
        "StripeWebhookErrors",
        QUIET,
        "not for one stranger's request",
        "11m",
        0,
        {stripe("error"): "0 0 0 1x20", stripe("processed"): "0x20"},
    ),
    Case("StripeWebhookErrors", ABSENT, "not when data is absent", "11m", 0, UP),
    Case(
        "StripeWebhookErrors",
        RESTART,
        "not after a restart",
        "30m",
        0,
        {stripe("error"): "500x10 stale 500x30", stripe("processed"): "10x10 stale 10+10x30"},
    ),
    Case("StripeCircuitOpened", FIRES, "fires when it opened", "12m", 1, {OPENED: "4x10 5x30"}),
    Case(
        "StripeCircuitOpened",
        FIRES,
        "fires on the very first opening",
        "12m",
        1,
        {OPENED: "0x10 1x30"},
    ),
    Case("StripeCircuitOpened", QUIET, "not while the count stands", "30m", 0, {OPENED: "4x40"}),
    Case("StripeCircuitOpened", QUIET, "ends 15 minutes later", "28m", 0, {OPENED: "4x10 5x30"}),
    Case(
        "StripeCircuitOpened",
        RESTART,
        "not after a restart",
        "25m",
        0,
        {OPENED: "4x10 stale stale 4x30"},
    ),
    Case("StripeCircuitOpened", ABSENT, "not when data is absent", "25m", 0, UP),
    Case(
        BURN,
        FIRES,
        "fires fast and slow at 20 %",
        "70m",
        2,
        {attempts("retry"): "0+2x90", attempts("delivered"): "0+8x90"},
    ),
    Case(
        BURN,
        FIRES,
        "fires slow only at 8 %",
        "70m",
        1,
        {attempts("retry"): "0+8x90", attempts("delivered"): "0+92x90"},
    ),
    Case(
        BURN,
        FIRES,
        "waiting for the breaker counts",
        "70m",
        2,
        {attempts("circuit_open"): "0+2x90", attempts("delivered"): "0+8x90"},
    ),
    Case(
        BURN,
        QUIET,
        "not at 1 %",
        "70m",
        0,
        {attempts("retry"): "0+1x90", attempts("delivered"): "0+99x90"},
    ),
    Case(
        BURN,
        QUIET,
        "not without traffic",
        "70m",
        0,
        {attempts("retry"): "5x90", attempts("delivered"): "9x90"},
    ),
    Case(BURN, ABSENT, "not when data is absent", "70m", 0, UP),
    Case(
        BURN,
        FIRES,
        "fast ends soon after the trouble",
        "67m",
        1,
        {attempts("retry"): "0+2x60 120x30", attempts("delivered"): "0+8x90"},
    ),
    Case(
        REFUSED,
        FIRES,
        "fires fast and slow at 2 %",
        "70m",
        2,
        {answered(503): "0+2x90", answered(200): "0+98x90"},
    ),
    Case(
        REFUSED,
        FIRES,
        "a second replica is added up",
        "70m",
        2,
        {answered(503): "0+2x90", answered(200).replace('"a"', '"b"'): "0+98x90"},
    ),
    Case(
        REFUSED,
        QUIET,
        "not for bad signatures",
        "70m",
        0,
        {answered(400): "0+50x90", answered(200): "0+50x90"},
    ),
    Case(
        REFUSED,
        QUIET,
        "not at 0.1 %",
        "70m",
        0,
        {answered(503): "0+1x90", answered(200): "0+999x90"},
    ),
    Case(
        REFUSED,
        RESTART,
        "not after a restart",
        "70m",
        0,
        {answered(503): "9x40 stale 0x60", answered(200): "90+9x40 stale 0+9x60"},
    ),
    Case(REFUSED, ABSENT, "not when data is absent", "70m", 0, UP),
    Case(
        "StripeWebhookErrors",
        REPLAY,
        "not when events that had failed are replayed and processed",
        "30m",
        0,
        {stripe("error"): "50x40", stripe("processed"): "10x10 10+20x30"},
    ),
    Case(
        BURN,
        REPLAY,
        "not when events that had failed are replayed and processed",
        "85m",
        0,
        {attempts("rejected"): "50x90", attempts("delivered"): "10x10 10+20x80"},
    ),
    Case(
        BURN,
        RESTART,
        "not after a restart: the counters stand in the database",
        "70m",
        0,
        {
            attempts("retry"): "500x40 stale stale 500x60",
            attempts("delivered"): "0+9x40 stale stale 378+9x60",
        },
    ),
    Case(
        BURN,
        QUIET,
        "not for one attempt of a few: the next one mends it",
        "70m",
        0,
        {attempts("retry"): "0x60 1 4x40", attempts("delivered"): "0x60 1x40"},
    ),
    Case(
        BURN,
        FIRES,
        "one replica or two, it is the same share",
        "70m",
        1,
        {
            attempts("retry"): "0+8x90",
            attempts("delivered"): "0+92x90",
            attempts("retry").replace('"a"', '"b"'): "0+8x90",
            attempts("delivered").replace('"a"', '"b"'): "0+92x90",
        },
    ),
    Case(
        REFUSED,
        QUIET,
        "not for a database that restarts while little comes in",
        "70m",
        0,
        {answered(503): "0x65 1 3x40", answered(200): "0x60 0+1x40"},
    ),
    Case(
        REFUSED,
        FIRES,
        "fast ends soon after the trouble",
        "68m",
        1,
        {answered(503): "0+2x60 120x40", answered(200): "0+9x100"},
    ),
)


@needs_prometheus
@pytest.mark.parametrize("case", CASES, ids=str)
def test_rule(case: Case, tmp_path: Path) -> None:
    run_case(case, tmp_path)
