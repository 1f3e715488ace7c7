"""A broker under faults: what its consumer has is what the ledger says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from chaos.broker import run_broker
from tests.conftest import SUMMARY


@pytest.mark.timeout(300)
async def test_a_brokers_consumer_has_what_the_ledger_says_in_the_order_of_each_key(
    dsn: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """A leader killed, answers lost, a full disk, a runner killed."""
    report = await run_broker("nats", dsn, tmp_path)
    record_property(SUMMARY, str(report))
    assert report.passed, report
    assert report.published > 100
