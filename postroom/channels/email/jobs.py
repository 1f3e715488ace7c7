"""The job `email-dlq`: dead emails go out again once the mail server is proved to work."""

from __future__ import annotations

from postroom.base.db import Pool, transaction
from postroom.channels.email.adapter import EmailAdapter
from postroom.channels.email.outcomes import MENDABLE_CODES
from postroom.outbox.ledger.dead_letters import DeadLetterFilter
from postroom.outbox.ledger.replay import fetch_dry_run, replay_dead_letters
from postroom.outbox.model import Cause, Channel
from postroom.worker.model import Job, JobContext

BATCH_MAX = 500
PACE_PER_S = 20.0
REPLAYS_MAX = 3

PASSED = (
    DeadLetterFilter(channels=(Channel.EMAIL,), cause=Cause.PASSING),
    DeadLetterFilter(channels=(Channel.EMAIL,), cause=Cause.OURS, codes=MENDABLE_CODES),
)
"""What died for a reason that can pass: the provider, the connection, our credentials."""


def dead_letter_job(*, pool: Pool, mailer: EmailAdapter) -> Job:
    """Re-drives dead emails, all of a run at `PACE_PER_S`, each letter at most `REPLAYS_MAX` times by itself.

    A run starts with a real login; when that fails, the run fails and nothing is spent. With nothing dead,
    only a run that a person asked for logs in: they want to know whether mail works.
    """

    async def run(context: JobContext) -> int:
        async with transaction(pool) as conn:
            waiting = [await fetch_dry_run(conn, letters, scan_max=1) for letters in PASSED]
        if not context.requested and not any(each.letters for each in waiting):
            return 0
        await mailer.prove_login()
        count = 0
        for letters in PASSED:
            redriven = BATCH_MAX
            while redriven == BATCH_MAX and not context.stop.is_set():
                async with transaction(pool) as conn:
                    replayed = await replay_dead_letters(
                        conn,
                        letters,
                        actor="email-dlq",
                        limit=BATCH_MAX,
                        pace_per_s=PACE_PER_S,
                        replays_max=REPLAYS_MAX,
                        after_s=count / PACE_PER_S,
                    )
                redriven = replayed.count
                count += redriven
        return count

    return Job(name="email-dlq", run=run, every_s=60.0)
