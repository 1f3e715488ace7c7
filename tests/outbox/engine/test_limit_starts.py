"""A limit of starts and of places: a runner without a place leases starts that it cannot use."""

from __future__ import annotations

import pytest

from postroom.base.db import Pool
from tests.fixtures.engine import Engine
from tests.outbox.engine.test_limits import Log, emails, engine, limit, log, runners  # noqa: F401


@pytest.mark.timeout(120)
@pytest.mark.parametrize("in_flight", [None, 1])
async def test_starts_go_to_those_who_have_places(
    dsn: str,
    pool: Pool,
    engine: Engine,  # noqa: F811
    log: Log,  # noqa: F811
    in_flight: int | None,
) -> None:
    """Two a second that take 0.4 s each need four fifths of one place."""
    await limit(pool, per_second=2.0, in_flight=in_flight)
    await engine.publish(emails(100))
    async with runners(dsn, log, takes_s=0.4) as started:
        assert len(started) == 3
        await log.until("5 have started", lambda: len(log.starts()) >= 5)
        await log.until("35 have started", lambda: len(log.starts()) >= 35)
    starts = log.starts()[5:35]
    rate = 29 / (starts[-1] - starts[0])
    assert rate >= 0.95 * 2, rate
