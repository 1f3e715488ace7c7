"""The job `email-dlq`: what died for a reason that has passed goes out again, at a pace."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from postroom.base.db import Pool, transaction
from postroom.base.errors import Unavailable
from postroom.channels.email.jobs import PACE_PER_S, dead_letter_job
from postroom.outbox.model import Message
from postroom.outbox.publish import publish_many
from postroom.worker.model import JobContext
from tests.fixtures.roles import pool_as
from tests.processes.commands import run
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
        assert (
            await dead_letter_job(pool=pool_as(pool, "runner"), mailer=adapter).run(JobContext(once=True))
            == 2_100
        )
    assert await pool.fetchval(PACE) <= PACE_PER_S + 3


async def test_with_nothing_dead_a_run_that_a_person_asked_for_proves_the_login(pool: Pool) -> None:
    """Or the job would say "done" while no mail can go out. By itself it does not log in each minute."""
    async with AsyncExitStack() as stack:
        mailbox = await open_mailbox(stack, login=("post", "right"))
        adapter = open_adapter(stack, pool, f"smtp://post:word@127.0.0.1:{mailbox.port}")
        job = dead_letter_job(pool=pool_as(pool, "runner"), mailer=adapter)
        assert await job.run(JobContext()) == 0
        with pytest.raises(Unavailable, match="refused the login: 535"):
            await job.run(JobContext(requested=True))
        mailbox.login = ("post", "word")
        assert await job.run(JobContext(requested=True)) == 0


def test_the_command_that_names_the_job_fails_under_a_wrong_password(dsn: str, tmp_path: Path) -> None:
    settings = {
        "POSTROOM_DATABASE_URL": dsn,
        "POSTROOM_STATE_DIR": str(tmp_path),
        "POSTROOM_EMAIL__URL": "smtp://post:word@127.0.0.1:1",
    }
    named = run("postroom", "work", "--job", "email-dlq", "--once", home=tmp_path, settings=settings)
    assert named.code == 1
    assert "email-dlq: failed: Unavailable" in named.err
    every = run("postroom", "work", "--once", home=tmp_path, settings=settings)
    assert "email-dlq: done, 0 handled" in every.out
