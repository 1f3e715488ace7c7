"""The audit trail stands and falls with the change it tells of."""

from __future__ import annotations

from postroom.admin.audit import SUBJECT_LENGTH_MAX, Actor, list_trail, record
from postroom.base.db import Pool, transaction

ACTOR = Actor("token:ci", request_id="r-1")


async def test_an_audit_row_vanishes_with_the_change_it_describes(pool: Pool) -> None:
    async with pool.acquire() as conn:
        change = conn.transaction()
        await change.start()
        await record(conn, ACTOR, "job.run", "canary")
        await change.rollback()
    async with transaction(pool) as conn:
        await record(conn, ACTOR, "job.run", "retention", n=1)
        [entry] = (await list_trail(conn)).rows
    assert (entry.actor, entry.request_id) == ("token:ci", "r-1")
    assert (entry.subject, entry.detail) == ("retention", {"n": 1})


async def test_a_subject_without_end_is_cut(pool: Pool) -> None:
    async with transaction(pool) as conn:
        await record(conn, ACTOR, "circuit.open", "x" * 10_000)
        [entry] = (await list_trail(conn)).rows
    assert len(entry.subject) == SUBJECT_LENGTH_MAX
