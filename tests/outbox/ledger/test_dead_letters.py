"""A dead letter knows its tenant, whoever buried it, so that one tenant's are found and replayed alone."""

from __future__ import annotations

import pytest

from postroom.base.db import Pool, open_pool, transaction
from postroom.base.migrate import migrate
from postroom.base.schema import head
from postroom.outbox.ledger.dead_letters import DeadLetterFilter
from postroom.outbox.ledger.replay import fetch_dry_run, replay_dead_letters
from postroom.outbox.model import OUTBOUND

TENANTS = """
select d.tenant from postroom.dead_letter d join postroom.message m on m.id = d.message_id order by m.key
"""
REPLAYED = """
select m.key from postroom.delivery d join postroom.message m on m.id = d.message_id order by m.key
"""
BACK_TO_0002 = """
drop trigger name_tenant on postroom.dead_letter;
drop function postroom.name_tenant;
alter table postroom.dead_letter drop column tenant;
update postroom.alembic_version set version_num = '0002';
"""


@pytest.fixture
async def letters(pool: Pool) -> Pool:
    """Emails and exports, 10 of `acme` and 10 of `globex`; by key they died one after the other."""
    await pool.execute(
        """select postroom.publish(channel => (array['email', 'export'])[1 + n % 2], payload => '{}',
            key => 'k' || n, tenant => (array['acme', 'globex'])[1 + n / 2 % 2])
        from generate_series(10, 29) n"""
    )
    await pool.execute(
        """with gone as (delete from postroom.delivery returning *)
        insert into postroom.dead_letter (message_id, n, seq, channel, destination, attempts, cause,
            fingerprint, reason, died_at)
        select message_id, n, seq, channel, destination, 8, 'ours', 'f', 'r',
            now() - interval '1 hour' + make_interval(secs => seq) from gone"""
    )
    return pool


async def test_the_oldest_of_a_tenant_come_first_over_all_channels(letters: Pool) -> None:
    acme = DeadLetterFilter(tenant="acme", channels=OUTBOUND)
    async with transaction(letters) as conn:
        assert (await fetch_dry_run(conn, acme)).letters == 10
        assert (await replay_dead_letters(conn, acme, actor="ada", limit=5)).count == 5
    replayed = await letters.fetch(REPLAYED)
    every = await letters.fetch("select key from postroom.message where tenant = 'acme' order by key")
    assert [row["key"] for row in replayed] == [row["key"] for row in every[:5]]


async def test_a_second_replay_takes_what_the_first_one_left(letters: Pool) -> None:
    acme = DeadLetterFilter(tenant="acme", channels=OUTBOUND)
    async with transaction(letters) as one, transaction(letters) as other:
        assert (await replay_dead_letters(one, acme, actor="ada", limit=4)).count == 4
        taken_too = (await replay_dead_letters(other, acme, actor="grace", limit=50)).count
    # The first one has locked 4 of each channel to take the oldest 4 of both.
    assert taken_too == 2
    async with transaction(letters) as conn:
        assert (await replay_dead_letters(conn, acme, actor="grace", limit=50)).count == 4


@pytest.mark.rows_by_hand
async def test_letters_from_before_the_column_get_their_tenant(letters: Pool, dsn: str) -> None:
    before = [row["tenant"] for row in await letters.fetch(TENANTS)]
    assert before == ["globex", "globex", "acme", "acme"] * 5
    await letters.execute(BACK_TO_0002)
    await migrate(dsn)
    after = await open_pool(dsn)
    try:
        assert [row["tenant"] for row in await after.fetch(TENANTS)] == before
        assert await after.fetchval("select version_num from postroom.alembic_version") == head()
    finally:
        await after.close()
