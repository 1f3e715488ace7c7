"""What creeps up: held snapshots, partitions, tokens, certificates."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from drill.certificate import write_certificate
from drill.scenario import Scenario, Scene
from drill.standby import follow, forget
from postroom.admin.tokens import Scope, insert_token
from postroom.base.db import connect, transaction
from postroom.encryption.keyring import new_key

RETENTION_RUNS: Final = (
    "select requested_at is not null or worker is not null from postroom.job where name = 'retention'"
)
API_LOGIN: Final = "select 'postroom_login_api_' || current_database()"
OWNER: Final = "select 'postroom_owner_' || current_database()"
RUN_ENDS_S: Final = 20.0
ASKED_S: Final = 0.5
"""A request that was sent a moment ago has arrived by then."""


async def hold_snapshot(scene: Scene) -> None:
    conn = await connect(scene.installation.postgres.dsn, application="a forgotten report")
    await conn.execute("begin isolation level repeatable read")
    await conn.fetchval("select count(*) from postroom.message")
    scene.leftovers.callback(conn.terminate)


async def lose_partitions(scene: Scene) -> None:
    """As if retention had not run for a week. A run that was asked for makes them anew: it ends first."""
    scene.traffic.resting.add("retention")
    await asyncio.sleep(ASKED_S)
    async with asyncio.timeout(RUN_ENDS_S):
        while await scene.installation.pool.fetchval(RETENTION_RUNS):
            await asyncio.sleep(0.2)
    names = await scene.installation.pool.fetch(
        "select relname from pg_class where relname ~ '^attempt_[0-9]{8}$'"
        " and to_date(right(relname, 8), 'YYYYMMDD') > current_date + 1"
    )
    for row in names:
        await scene.installation.pool.execute(f'drop table postroom."{row["relname"]}"')


async def ask_again(scene: Scene) -> None:
    scene.traffic.resting.discard("retention")


async def make_short_token(scene: Scene) -> None:
    async with transaction(scene.installation.pool) as conn:
        ends_at = datetime.now(UTC) + timedelta(days=3)
        await insert_token(conn, name="billing", scopes=(Scope.EVENTS_WRITE,), expires_at=ends_at)


async def token_variables(scene: Scene) -> Mapping[str, str]:
    query = "select id::text from postroom.token where name = 'billing' order by id limit 1"
    return {"OLD_ID": await scene.installation.pool.fetchval(query)}


async def forget_the_runner(scene: Scene) -> None:
    """A colleague sets a key and restarts the API only."""
    scene.installation.set("POSTROOM_ENCRYPTION__KEYS", new_key("drill"))
    await scene.installation.restart("api")
    await scene.installation.wait_ready()


async def turn_schedules_off(scene: Scene) -> None:
    """The settings of a copy reach the system itself. The job `schedules` succeeds all the same."""
    scene.installation.set("POSTROOM_TASKS__SCHEDULES", "false")
    await scene.installation.restart("runner")


async def grant_ownership(scene: Scene) -> None:
    """As somebody does who wants to be rid of an error."""
    excess = await excess_variables(scene)
    await scene.installation.pool.execute(f'grant "{excess["EXCESS"]}" to "{excess["LOGIN"]}"')


async def excess_variables(scene: Scene) -> Mapping[str, str]:
    pool = scene.installation.pool
    return {"LOGIN": await pool.fetchval(API_LOGIN), "EXCESS": await pool.fetchval(OWNER)}


async def follow_asynchronously(scene: Scene) -> None:
    """Somebody made a standby, and left it at that."""
    folder = scene.installation.folder / "standby"
    folder.mkdir()
    standby = await follow(scene.installation.postgres, folder)
    scene.leftovers.callback(forget, scene.installation.postgres, standby)


async def age_certificate(scene: Scene) -> None:
    write_certificate(_new_certificate(scene), ends_at=datetime.now(UTC) + timedelta(days=365))
    write_certificate(scene.installation.certificate, ends_at=datetime.now(UTC) + timedelta(days=3))


async def certificate_variables(scene: Scene) -> Mapping[str, str]:
    return {"NEW_CERTIFICATE": str(_new_certificate(scene))}


def _new_certificate(scene: Scene) -> Path:
    return scene.installation.folder / "new-mail-server.pem"


SCENARIOS = (
    Scenario(
        name="snapshot-held",
        fault="a session sits idle in its transaction",
        alerts=("TransactionHeldLong",),
        break_it=hold_snapshot,
    ),
    Scenario(
        name="standby-asynchronous",
        fault="a standby follows, and no commit waits for it",
        alerts=("ReplicationNotSynchronous",),
        break_it=follow_asynchronously,
        quick=True,
    ),
    Scenario(
        name="partitions-missing",
        fault="the attempt log as after a week without retention",
        alerts=("AttemptPartitionsRunOut",),
        break_it=lose_partitions,
        mend_outside=ask_again,
        quick=True,
    ),
    Scenario(
        name="token-ending",
        fault="an access token ends in 3 days",
        alerts=("TokenExpiresSoon",),
        break_it=make_short_token,
        variables=token_variables,
        quick=True,
    ),
    Scenario(
        name="role-excessive",
        fault="the API's login is made an owner of the schema",
        alerts=("DatabaseRoleExcessive",),
        break_it=grant_ownership,
        variables=excess_variables,
        quick=True,
    ),
    Scenario(
        name="certificate-ending",
        fault="the mail server's certificate ends in 3 days",
        alerts=("CertificateExpiresSoon",),
        break_it=age_certificate,
        variables=certificate_variables,
    ),
    Scenario(
        name="schedules-off",
        fault="the runner gets the settings of a copy: no schedules",
        alerts=("ScheduleStale",),
        break_it=turn_schedules_off,
        also=frozenset({"JobsRunnerSilent", "DeliveriesLate", "JobStale", "StripeEffectsBudgetBurn"}),
        labels={"ScheduleStale": {"schedule": "figures.refresh"}},
        alone=True,
    ),
    Scenario(
        name="key-not-everywhere",
        fault="a key is set, and the runner is not restarted",
        alerts=("EncryptionKeyMissing",),
        break_it=forget_the_runner,
        also=frozenset({"PostroomDown", "WebhookAcceptanceBudgetBurn", "StripeEffectsBudgetBurn"}),
        labels={"EncryptionKeyMissing": {"channel": "stripe"}},
        alone=True,
    ),
)
