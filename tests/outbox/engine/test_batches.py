"""A batch in which one delivery is at fault: its neighbours are delivered, once, and spend nothing."""

from __future__ import annotations

import pytest

from postroom.base.db import Pool
from tests.fixtures.engine import AdapterEngine, email
from tests.simulation.relay import Fault, Gathering


@pytest.mark.parametrize("fault", [Fault.RAISES, Fault.REFUSED, Fault.UNANSWERED])
async def test_a_fault_of_one_never_touches_its_neighbours(dsn: str, pool: Pool, fault: Fault) -> None:
    adapter = Gathering(faults={"k2": fault})
    engine = await AdapterEngine(dsn, pool, adapter).start()
    await engine.publish(email(f"k{n}") for n in range(5))
    assert await engine.drain() == 5
    assert sorted(adapter.answered) == ["k0", "k1", "k3", "k4"]
    rows = await pool.fetch(
        "select m.key, a.outcome from postroom.attempt a join postroom.message m on m.id = a.message_id"
    )
    outcome = "rejected" if fault is Fault.REFUSED else "retry"
    delivered = {(key, "delivered") for key in adapter.answered}
    assert {tuple(row) for row in rows} == {*delivered, ("k2", outcome)}
