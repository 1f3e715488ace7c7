"""The directory: slots that never change, tenants that override them, and copies that are behind."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from structlog.testing import capture_logs

from postroom.base.db import Pool
from postroom.base.errors import Conflict
from postroom.front import directory as module
from postroom.front.directory import KnownDirectory
from postroom.ledgers.directory import SLOTS, Directory, newest, read_directory, slot_of

HALVES = ("l1",) * 512 + ("l2",) * 512


def test_a_tenants_slot_is_the_same_for_ever() -> None:
    assert [slot_of(tenant) for tenant in ("", "acme", "cus_123", "größe")] == [0, 574, 607, 393]


def test_tenants_are_spread_over_the_slots() -> None:
    counts = Counter(slot_of(f"tenant{n}") for n in range(100 * SLOTS))
    assert len(counts) == SLOTS
    assert max(counts.values()) < 200


def test_a_tenant_that_is_named_overrides_its_slot() -> None:
    directory = Directory(3, HALVES, {"acme": "l2"}, {"acme": 3})
    assert directory.ledger_of("acme") == "l2"
    assert directory.ledger_of("other") == HALVES[slot_of("other")]
    with pytest.raises(Conflict, match="postroom ledger add"):
        Directory(0, (), {}).ledger_of("acme")


def test_of_several_copies_the_last_decision_counts_for_each_tenant() -> None:
    one = Directory(7, HALVES, {"a": "l1", "b": "l2"}, {"a": 2, "b": 7})
    other = Directory(5, HALVES, {"a": "l2", "c": "l1"}, {"a": 5, "c": 4})
    alone = Directory(0, (), {})
    for copies in ([one, other, alone], [alone, other, one]):
        assert newest(copies) == Directory(
            7, HALVES, {"a": "l2", "b": "l2", "c": "l1"}, {"a": 5, "b": 7, "c": 4}
        )


def test_ledgers_of_two_directories_are_not_put_together() -> None:
    with pytest.raises(Conflict, match="l9 is of another directory"):
        newest([Directory(1, HALVES, {}), Directory(1, HALVES[::-1], {}, name="l9")])


async def test_a_ledger_alone_has_an_empty_copy(pool: Pool) -> None:
    async with pool.acquire() as conn:
        assert await read_directory(conn) == Directory(0, (), {})


async def test_a_copy_that_cannot_be_understood_is_not_the_last_that_is_read(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "READ_EVERY_S", 0.01)
    known, read_by, reading = KnownDirectory({"l1": pool}), 0, asyncio.Event()

    async def read_copy(_conn: object) -> Directory:
        nonlocal read_by
        read_by += 1
        if read_by == 2:
            raise ValueError("of a later version")
        if read_by > 2:
            reading.set()
        return Directory(read_by, ("l1",) * SLOTS, {})

    monkeypatch.setattr(module, "read_directory", read_copy)
    with capture_logs() as logs:
        async with known.kept(), asyncio.timeout(20):
            await reading.wait()
    assert [each["event"] for each in logs] == ["directory.not_read"]
