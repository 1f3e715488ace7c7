"""The job `email-dlq`: what died for a reason that has passed goes out again, at a pace."""

from __future__ import annotations

from contextlib import AsyncExitStack

from postroom.base.db import Pool, transaction
from postroom.channels.email.jobs import PACE_PER_S, dead_letter_job
from postroom.outbox.model import Message
from postroom.outbox.publish import publish_many
from postroom.worker.model import JobContext
from tests.system.test_email_smtp import MAIL, open_adapter, open_mailbox

DEAD = """
with gone as (delete from postroom.delivery returning *)
insert into postroom.dead_letter
    (message_id, n, seq, channel, destination, attempts, cause, fingerprint, reason, code)
select message_id, n, seq, channel, destination, 12, case seq % 2 when 0 then 'passing' else 'ours' end,
    'f', 'r', 'connect'
from gone"""
PACE = """
select max(count) from (
    select count(*) from postroom.delivery
    group by floor(extract(epoch from due_at - (select min(due_at) from postroom.delivery)))
) a_second"""


async def test_dead_mails_go_out_again_at_a_pace_that_holds_for_all_of_them(pool: Pool) -> None:
    """A provider that was down for hours must not get thousands at once when it is back."""
    async with transaction(pool) as conn:
        await publish_many(conn, [Message(channel="email", payload=MAIL)] * 2_100)
        await conn.execute(DEAD)
    async with AsyncExitStack() as stack:
        mailbox = await open_mailbox(stack)
        adapter = open_adapter(stack, pool, f"smtp://127.0.0.1:{mailbox.port}")
        assert await dead_letter_job(pool=pool, mailer=adapter).run(JobContext(once=True)) == 2_100
    assert await pool.fetchval(PACE) <= PACE_PER_S + 3
