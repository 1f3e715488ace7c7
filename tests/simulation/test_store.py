"""Hundreds of interleavings against the real store: after each step it must agree with the model."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from postroom.postgres.database import create_database
from tests.conftest import on_database
from tests.simulation.machine import EngineMachine
from tests.simulation.postgres import PostgresStore

EXAMPLES = 100
STEPS = 25
SETTINGS = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@pytest.mark.timeout(400)
def test_the_store_does_what_the_model_says(server_dsn: str, template: str) -> None:
    name = f"simulation_{uuid4().hex[:12]}"
    asyncio.run(create_database(server_dsn, name, template=template))
    dsn = on_database(server_dsn, name)

    class StoreMachine(EngineMachine):
        def make_store(self) -> PostgresStore:
            self.real = PostgresStore(dsn)
            return self.real

        def teardown(self) -> None:
            self.real.close()

    run_state_machine_as_test(StoreMachine, settings=SETTINGS)
