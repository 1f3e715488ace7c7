"""Every alert is tried in every situation, or it is said here why that one cannot arise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import pytest

from tests.monitoring import test_rules_of_delivery, test_rules_of_service, test_rules_of_stripe
from tests.monitoring.promtool import QUIET, REPLAY, RESTART, Situation
from tests.monitoring.test_configuration import NAMES

CASES: Final = (*test_rules_of_service.CASES, *test_rules_of_delivery.CASES, *test_rules_of_stripe.CASES)

NO_SERIES: Final = "it reads no series and fires always"
UNTOUCHED: Final = "a replay changes nothing that it reads"
CANNOT_ARISE: Final[Mapping[tuple[str, Situation], str]] = {
    ("Watchdog", QUIET): NO_SERIES,
    ("Watchdog", REPLAY): NO_SERIES,
    ("Watchdog", RESTART): NO_SERIES,
    ("LedgerDrift", REPLAY): "one statement moves a letter to the deliveries: no reading sees it in neither",
    ("StripeCircuitOpened", REPLAY): "an opening is one whether a replay caused it or not",
    ("WebhookAcceptanceBudgetBurn", REPLAY): "a replay sends out; it reads what comes in",
    **dict.fromkeys(
        (
            (name, REPLAY)
            for name in (
                *("PostroomDown", "MetricsAbsent", "ReadyzFailures", "JobsRunnerSilent", "JobStale"),
                *(
                    "ScheduleStale",
                    "AttemptPartitionsRunOut",
                    "CircuitOpenLong",
                    "DestinationCircuitOpenLong",
                ),
                *("ChannelPausedLong", "EndpointDisabled", "LimitReachedLong"),
                *(
                    "TransactionHeldLong",
                    "ReplicationNotSynchronous",
                    "DiskNearlyFull",
                    "TokenExpiresSoon",
                    "CertificateExpiresSoon",
                ),
                "DatabaseRoleExcessive",
                *("EmailBounceRate", "EmailComplaintRate"),
                *("StripeEventsMissed", "StripeEndpointDisabled", "StripeReconcileBehind", "StripeSilent"),
            )
        ),
        UNTOUCHED,
    ),
}


@pytest.mark.parametrize("name", NAMES)
def test_an_alert_is_tried_in_every_situation(name: str) -> None:
    tried = {case.situation for case in CASES if case.alert == name}
    excused = {situation for alert, situation in CANNOT_ARISE if alert == name}
    assert tried | excused == set(Situation), f"{name} lacks {set(Situation) - tried - excused}"
    assert not tried & excused, "an excuse for what is tried"


def test_only_alerts_that_exist_are_tried() -> None:
    assert {case.alert for case in CASES} | {name for name, _ in CANNOT_ARISE} == set(NAMES)


def test_what_fires_is_said_to() -> None:
    """A case of the wrong kind would fill a gap that is there."""
    wrong = [
        str(case)
        for case in CASES
        if (case.situation is Situation.FIRES and not case.firing)
        or (case.situation is QUIET and case.firing)
    ]
    assert wrong == []
