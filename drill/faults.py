"""Every fault that the drill knows."""

from __future__ import annotations

from typing import Final

from drill import faults_of_delivery, faults_of_service, faults_of_stripe, faults_of_upkeep
from drill.scenario import Scenario

SCENARIOS: Final[tuple[Scenario, ...]] = (
    *faults_of_service.SCENARIOS,
    *faults_of_delivery.SCENARIOS,
    *faults_of_stripe.SCENARIOS,
    *faults_of_upkeep.SCENARIOS,
)
