"""Thousands of interleavings of the policy and the model. A failure prints its steps and its seed."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

from tests.simulation.machine import EngineMachine

TestModel = EngineMachine.TestCase
TestModel.settings = settings(
    max_examples=1_000,
    stateful_step_count=30,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestModel.pytestmark = [pytest.mark.timeout(400)]  # type: ignore[attr-defined]  # as a decorator would
