"""What the actions of an operator are done to: each makes one, and returns its id."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from uuid import UUID

from postroom.admin.tokens import Scope, insert_token
from postroom.base.db import Pool, transaction
from postroom.channels.webhooks import endpoints
from postroom.dev.stripe_events import snapshot_event
from postroom.outbox.ledger.dead_letters import DeadLetterFilter
from postroom.outbox.ledger.replay_runs import pause_run, start_run
from postroom.outbox.limits import LimitKey, set_limit
from tests.factories.outcomes import DELIVER
from tests.fixtures.stripe import Scene

URL: Final = "https://acme.example/hooks"
MAIL: Final = """
select postroom.publish('email', '{"to": "ann@example.com", "subject": "s", "text": "t"}',
    deliver_at => now() + make_interval(secs => $1))::text
"""
CALL: Final = """
select postroom.publish('stripe_api', '{"method": "POST", "path": "/v1/refunds"}')::text
"""
DIE: Final = """
with gone as (delete from postroom.delivery where message_id = $1 returning *)
insert into postroom.dead_letter
    (message_id, n, seq, channel, destination, attempts, cause, fingerprint, reason)
select message_id, n, seq, channel, destination, 1, 'ours', 'fault', 'r' from gone
"""


async def nothing(_pool: Pool, _folder: Path) -> str:
    return ""


async def due_message(pool: Pool, _folder: Path) -> str:
    return str(await pool.fetchval(MAIL, 0.0))


async def later_message(pool: Pool, _folder: Path) -> str:
    return str(await pool.fetchval(MAIL, 86_400.0))


async def delivered(pool: Pool, folder: Path) -> str:
    message_id = await due_message(pool, folder)
    await pool.execute(DELIVER, message_id)
    return message_id


async def dead_letter(pool: Pool, folder: Path) -> str:
    message_id = await due_message(pool, folder)
    await pool.execute(DIE, message_id)
    return message_id


async def dead_call(pool: Pool, _folder: Path) -> str:
    """It may have reached Stripe."""
    message_id = str(await pool.fetchval(CALL))
    await pool.execute(DIE, message_id)
    sent = (
        "insert into postroom.stripe_call (message_id, account, sends, sent_at) values ($1, 'self', 1, now())"
    )
    await pool.execute(sent, message_id)
    return message_id


async def replay_run(pool: Pool, folder: Path) -> str:
    wanted = DeadLetterFilter(message_ids=(UUID(await dead_letter(pool, folder)),))
    async with transaction(pool) as conn:
        return str((await start_run(conn, wanted, actor="ada")).run_id)


async def paused_run(pool: Pool, folder: Path) -> str:
    run_id = await replay_run(pool, folder)
    async with transaction(pool) as conn:
        await pause_run(conn, UUID(run_id), actor="ada")
    return run_id


async def ignored_event(pool: Pool, folder: Path) -> str:
    scene = Scene(pool, folder)
    await scene.process(snapshot_event("invoice.paid", {"id": "in_1", "object": "invoice"}))
    await scene.close()
    return str(await pool.fetchval("select message_id from postroom.stripe_event"))


async def endpoint(pool: Pool, _folder: Path) -> str:
    async with transaction(pool) as conn:
        made = await endpoints.create_endpoint(conn, tenant="acme", url=URL)
    return str(made.endpoint.id)


async def token(pool: Pool, _folder: Path) -> str:
    async with transaction(pool) as conn:
        _, made = await insert_token(conn, name="old", scopes=(Scope.ADMIN_READ,))
    return str(made.id)


async def session(pool: Pool, _folder: Path) -> str:
    return str(
        await pool.fetchval(
            "insert into postroom.console_session (hash, actor, scopes)"
            " values (sha256(random()::text::bytea), 'oidc:ada', '{admin:read}') returning id"
        )
    )


async def suppressed(pool: Pool, _folder: Path) -> str:
    await pool.execute("insert into postroom.suppression (address, reason) values ('ann@example.com', 'r')")
    return ""


async def limited(pool: Pool, _folder: Path) -> str:
    async with transaction(pool) as conn:
        key = LimitKey("email", destination="gmail.com")
        await set_limit(conn, key, in_flight=1, reason="r", set_by="ada")
    return ""
