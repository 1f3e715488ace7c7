"""What a process may do in the database whose code is no longer ours: as a real login of each role."""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import asyncpg
import pytest

from postroom.base.db import Connection, Pool
from postroom.base.migrate import migrate
from postroom.postgres.logins import make_logins, with_login
from tests.conftest import on_database, run_sql
from tests.fixtures.roles import as_role
from tests.processes.commands import run

ROOT: Final = Path(__file__).resolve().parents[2]
PARTS: Final = 16
"""Files that hold a part of a statement. One more may be a statement that this PostgreSQL does not accept."""
DECIDED: Final = re.compile(r"^ +\('([\w.*]+)', +'\w*', +'\w*', +'\w*', +'\w*'\)", re.MULTILINE)
EXISTS: Final = """
with ours (id, prefix) as (values ('postroom'::regnamespace, ''), ('stripe'::regnamespace, 'stripe.'))
select prefix || case when obj_description(oid, 'pg_class') like 'Generated: %' then '*' else relname end
from pg_class join ours on id = relnamespace
where relkind in ('r', 'p', 'v', 'm', 'f', 'S') and not (relispartition and relname ~ '^attempt_[0-9]{8}$')
union select prefix || proname from pg_proc join ours on id = pronamespace
union select id::text from ours"""
SECRETS_AND_PAYLOADS: Final = {
    "message": {"payload"},
    "attempt": {"detail"},
    "stripe_event": {"raw", "secret"},
    "stripe_object": {"data"},
    "endpoint": {"url", "secret", "previous_secret"},
    "token": {"hash"},
    "audit": {"detail"},
}
OWNERS: Final = """
select distinct pg_get_userbyid(relowner) from pg_class where relnamespace = 'postroom'::regnamespace"""
COLUMNS: Final = """
select attname from pg_attribute where attrelid = $1::text::regclass and attnum > 0 and not attisdropped"""

SERVER: Final = (
    "create role intruder superuser",
    "create role intruder",
    "create database elsewhere",
    "alter role current_user superuser",
    "alter system set log_statement = 'all'",
    "copy (select 1) to program 'true'",
    "copy (select 1) to '/tmp/out'",
    "create temp table t (line text); copy t from '/etc/passwd'",
    "select * from pg_authid",
    "select pg_read_file('/etc/passwd')",
    "select pg_ls_dir('.')",
    "select lo_export(lo_from_bytea(0, ''), '/tmp/out')",
    "create function f() returns void language c as 'libc', 'system'",
    "select pg_reload_conf()",
    "set session authorization postgres",
)
SCHEMA: Final = (
    "drop schema postroom cascade",
    "drop table postroom.message cascade",
    "truncate postroom.message cascade",
    "alter table postroom.message disable trigger all",
    "alter table postroom.audit owner to current_user",
    "create table postroom.mine (a int)",
    "create trigger t before insert on postroom.audit for each row execute function postroom.name_tenant()",
    "create or replace function postroom.prune_audit(days integer, batch_max integer) returns integer "
    "language sql as 'select 1'",
    "update postroom.alembic_version set version_num = '0001'",
)
AUDIT: Final = (
    "update postroom.audit set actor = 'somebody else'",
    "delete from postroom.audit",
    "truncate postroom.audit",
    "select setval('postroom.audit_id_seq', 1000)",
)
OF_THE_RUNNER: Final = (
    "insert into postroom.audit (actor, action) values ('cli:root', 'token.create')",
    "select * from postroom.audit",
    "select * from postroom.token",
    "insert into postroom.token (name, hash, scopes) values ('t', sha256('t'), array['admin'])",
    "insert into postroom.console_session (hash, actor, scopes) values (sha256('t'), 'a', array['a'])",
    "update postroom.endpoint set id = id; insert into postroom.endpoint (tenant, url, types, secret) "
    "values ('t', 'https://x', array['*'], 's')",
    "delete from postroom.suppression",
)
OF_THE_API: Final = (
    "insert into postroom.audit (at, actor, action) values ('2020-01-01', 'ada', 'x')",
    "insert into postroom.audit (id, actor, action) overriding system value values (1000, 'ada', 'x')",
    "select postroom.prune_audit(0, 1000)",
    "select postroom.drop_attempt_partitions(0)",
    "delete from postroom.message",
    "insert into postroom.stripe_object values ('a', 'cus_1', 'c', '{}', false, now(), 'evt', 0, true)",
    "update postroom.worker set beat_at = 'infinity'",
)
OF_THE_READER: Final = (
    "select payload from postroom.message",
    "select * from postroom.message",
    "select raw from postroom.stripe_event",
    "select data from postroom.stripe_object",
    "select secret from postroom.endpoint",
    "select secret from postroom.signing_secret",
    "select hash from postroom.token",
    "select hash from postroom.console_session",
    "select hash from postroom.sign_in_link",
    "select detail from postroom.audit",
    "select wanted from postroom.replay_run",
    "select postroom.publish('email', '{}')",
    "delete from postroom.delivery",
)


@pytest.fixture
async def session(dsn: str, request: pytest.FixtureRequest) -> AsyncIterator[Connection]:
    conn = await asyncpg.connect(as_role(dsn, request.param))
    yield conn
    await conn.close()


async def not_refused(conn: Connection, statements: tuple[str, ...]) -> list[str]:
    """Those that were not refused."""
    done = []
    for statement in statements:
        try:
            await conn.execute(statement)
        except asyncpg.InsufficientPrivilegeError:
            continue
        done.append(statement)
    return done


async def allowed(conn: Connection, statements: tuple[str, ...]) -> list[str]:
    """Those that the owner may run: each in a transaction that is undone."""
    done = []
    for statement in statements:
        undone = conn.transaction()
        await undone.start()
        try:
            await conn.execute(statement)
            done.append(statement)
        finally:
            await undone.rollback()
    return done


@pytest.mark.parametrize(
    ("session", "own"),
    [("runner", OF_THE_RUNNER), ("api", OF_THE_API), ("reader", OF_THE_READER)],
    indirect=["session"],
)
async def test_code_that_is_not_ours_changes_neither_server_nor_schema_nor_trail(
    session: Connection, pool: Pool, own: tuple[str, ...]
) -> None:
    entry = "insert into postroom.audit (at, actor, action) values (now() - $1::text::interval, 'ada', 'x')"
    for age in ("0 days", "40 days"):
        await pool.execute(entry, age)
    assert await not_refused(session, (*SERVER, *SCHEMA, *AUDIT, *own)) == []
    rows = await pool.fetch("select actor from postroom.audit")
    assert [row["actor"] for row in rows] == ["ada", "ada"]
    async with pool.acquire() as owner:  # the statements are no nonsense
        ours = (*SCHEMA, *AUDIT, *own)
        assert await allowed(owner, ours) == list(ours)


@pytest.mark.parametrize("session", ["runner"], indirect=True)
async def test_the_runner_forgets_old_entries_and_no_others(session: Connection, pool: Pool) -> None:
    await pool.execute(
        "insert into postroom.audit (at, actor, action) "
        "select now() - make_interval(days => age), age::text, 'x' from unnest(array[0, 30, 32, 400]) age"
    )
    assert await session.fetchval("select postroom.prune_audit(0, 1000)") == 2
    assert await session.fetchval("select postroom.prune_audit(-5, 1000)") == 0
    rows = await pool.fetch("select actor from postroom.audit order by at")
    assert [row["actor"] for row in rows] == ["30", "0"]


@pytest.mark.parametrize("session", ["runner"], indirect=True)
async def test_the_runner_makes_and_drops_days_of_the_log_without_owning_it(
    session: Connection, pool: Pool
) -> None:
    assert await session.fetchval("select postroom.make_attempt_partitions(9)") == 2
    await pool.execute(
        "create table postroom.attempt_20200101 partition of postroom.attempt "
        "for values from ('2020-01-01 00:00Z') to ('2020-01-02 00:00Z')"
    )
    assert await session.fetchval("select postroom.drop_attempt_partitions(-1000)") == 1
    assert len(await pool.fetch(OWNERS)) == 1


async def test_a_function_of_the_owner_is_not_misled_by_the_callers_search_path(dsn: str) -> None:
    """Whoever may make temporary tables could otherwise put one in the way of a name."""
    conn = await asyncpg.connect(as_role(dsn, "runner"))
    try:
        found = await conn.fetch(
            "select oid::regprocedure::text as name, coalesce(array_to_string(proconfig, ';'), '') as config "
            "from pg_proc where pronamespace = 'postroom'::regnamespace and prosecdef"
        )
        assert {row["name"].partition("(")[0].removeprefix("postroom.") for row in found} >= {
            "publish", "publish_many", "make_attempt_partitions", "drop_attempt_partitions", "prune_audit",
        }  # fmt: skip
        assert [row["name"] for row in found if "search_path=pg_catalog, pg_temp" not in row["config"]] == []
    finally:
        await conn.close()


async def test_every_object_of_the_schema_has_its_decision(pool: Pool) -> None:
    """What is added gets a row in grants.sql, or nobody but the owner has it."""
    text = (ROOT / "migrations/sql/grants.sql").read_text()
    decided = DECIDED.findall(text)
    assert len(decided) == len(set(decided))
    assert set(decided) - {"audit.entry"} == {row[0] for row in await pool.fetch(EXISTS)}


async def test_a_view_shows_every_column_but_payloads_and_secrets(pool: Pool) -> None:
    for table, hidden in SECRETS_AND_PAYLOADS.items():
        columns = {row["attname"] for row in await pool.fetch(COLUMNS, f"postroom.{table}")}
        shown = {row["attname"] for row in await pool.fetch(COLUMNS, f"postroom.{table}_view")}
        assert columns - shown == hidden, table
        assert not shown & hidden


async def test_what_was_granted_by_hand_goes_with_the_next_migration(server_dsn: str) -> None:
    """Granted are the roles of this database alone, and those that it was renamed from keep nothing new."""
    name = "Roles by-hand"  # whatever a database is called
    dsn = on_database(server_dsn, name)
    await run_sql(server_dsn, f'create database "{name}"')
    try:
        await migrate(dsn, roles=True)
        logins = await make_logins(dsn)
        await run_sql(
            dsn,
            f'grant select on postroom.message to "postroom_reader_{name}"; '
            "grant select on postroom.token to public; "
            f'revoke select on postroom.message from "postroom_api_{name}"; '
            f'grant insert on postroom.audit to "postroom_api_{name}"',
        )
        await migrate(logins["owner"])  # whoever is a member of the owner migrates, without creating roles
        conn = await asyncpg.connect(dsn)
        may = "select has_table_privilege($1, $2, 'select')"
        assert not await conn.fetchval(may, f"postroom_reader_{name}", "postroom.message")
        assert not await conn.fetchval(may, f"postroom_reader_{name}", "postroom.token")
        assert await conn.fetchval(may, f"postroom_api_{name}", "postroom.message")
        column = "select has_column_privilege($1, 'postroom.audit', $2, 'insert')"
        writes = [await conn.fetchval(column, f"postroom_api_{name}", each) for each in ("at", "actor")]
        assert writes == [False, True]
        await conn.close()
    finally:
        await run_sql(server_dsn, f'drop database if exists "{name}" with (force)')
        for part in ("api", "runner", "reader", "owner", "publisher"):
            roles = f'"postroom_login_{part}_{name}", "postroom_{part}_{name}"'
            await run_sql(server_dsn, f"drop role if exists {roles}")


async def test_an_installation_of_before_gets_its_roles_while_it_runs(server_dsn: str) -> None:
    """Its schema belongs to the login that everything used, and that one goes on."""
    name, login = "roles_later", "postroom_of_before"
    dsn = on_database(server_dsn, name)
    await run_sql(server_dsn, f"create role {login} login createrole password 'x'")
    await run_sql(server_dsn, f'create database "{name}" owner {login}')
    before = with_login(dsn, login, "x")
    try:
        await migrate(before)
        running = await asyncpg.connect(before)
        await migrate(before, roles=True)  # who may create roles need not be a superuser
        await migrate(before, roles=True)
        assert await running.fetchval("select postroom.publish('email', '{}')")
        assert await running.fetchval("update postroom.job set paused = false returning 1") is None
        assert [row[0] for row in await running.fetch(OWNERS)] == [f"postroom_owner_{name}"]
        assert not await running.fetchval(
            "select has_database_privilege($1, $2, 'create')", f"postroom_owner_{name}", name
        )
        await running.close()
    finally:
        await run_sql(server_dsn, f'drop database if exists "{name}" with (force)')
        for part in ("api", "runner", "reader", "owner", "publisher"):
            await run_sql(server_dsn, f"drop role if exists postroom_{part}_{name}")
        await run_sql(server_dsn, f"drop role {login}")


def statements() -> Iterator[tuple[str, str]]:
    """Every statement that the code runs, by its place; parts of statements cannot be prepared."""
    for path in sorted((ROOT / "postroom").glob("**/queries/*.sql")):
        if path.parts[-3] not in ("base", "postgres"):
            yield str(path.relative_to(ROOT)), path.read_text().strip().rstrip(";")


async def may_run(conn: Connection, name: str, statement: str) -> bool | None:
    """Whether it would be refused, as its plan says; None for a part of a statement."""
    undone = conn.transaction()
    await undone.start()
    try:
        prepared = await conn.prepare(statement)
        values = ", ".join(["null"] * len(prepared.get_parameters()))
        await conn.execute(f"prepare {name} as {statement}")
        await conn.execute("set local plan_cache_mode = force_generic_plan")
        await conn.execute(f"explain execute {name}{f'({values})' if values else ''}")
    except asyncpg.InsufficientPrivilegeError:
        return False
    except (asyncpg.PostgresSyntaxError, asyncpg.UndefinedTableError):
        return None
    finally:
        await undone.rollback()
    return True


async def test_each_statement_of_the_code_may_be_run_by_a_process(dsn: str) -> None:
    """A statement that is added, and a table that it uses, need their grants: else it fails where it runs."""
    tried: dict[str, list[bool | None]] = defaultdict(list)
    for part in ("api", "runner"):
        conn = await asyncpg.connect(as_role(dsn, part))
        for number, (place, statement) in enumerate(statements()):
            tried[place].append(await may_run(conn, f"statement_{number}", statement))
        await conn.close()
    assert len(tried) > 200
    assert [place for place, may in tried.items() if may == [False, False]] == []
    parts = [place for place, may in tried.items() if None in may]
    assert len(parts) == PARTS, parts


@pytest.mark.needs("psql")
async def test_an_administrator_runs_the_printed_script_and_nothing_of_ours(
    server_dsn: str, tmp_path: Path
) -> None:
    """Then a member of the owner migrates, who may create neither roles nor schemas."""
    name = "roles_printed"
    dsn = on_database(server_dsn, name)
    await run_sql(server_dsn, f'create database "{name}"')
    try:
        command = ("postroom", "migrate", "--print-roles")
        printed = await asyncio.to_thread(run, *command, home=tmp_path, settings={})
        assert printed.code == 0, printed.err
        psql = ("psql", "--no-psqlrc", "--single-transaction", "-v", "ON_ERROR_STOP=1", "-d", dsn)
        for _ in range(2):
            done = await asyncio.to_thread(
                subprocess.run, psql, input=printed.out, capture_output=True, text=True, timeout=60
            )
            assert done.returncode == 0, done.stderr
        logins = await make_logins(dsn)
        place = {"POSTROOM_DATABASE_URL": logins["owner"], "POSTROOM_STATE_DIR": str(tmp_path)}
        migrated = await asyncio.to_thread(run, "postroom", "migrate", home=tmp_path, settings=place)
        assert migrated.code == 0, migrated.err
        conn = await asyncpg.connect(logins["api"])
        assert await conn.fetchval("select postroom.publish('email', '{}')")
        await conn.close()
        lacking = {**place, "POSTROOM_DATABASE_URL": logins["runner"]}
        refused = await asyncio.to_thread(run, "postroom", "token", "list", home=tmp_path, settings=lacking)
        assert refused.code == 1
        assert "postroom work needs the runner's, postroom migrate the owner's" in refused.err
    finally:
        await run_sql(server_dsn, f'drop database if exists "{name}" with (force)')
        for part in ("api", "runner", "reader", "owner", "publisher"):
            roles = f"postroom_login_{part}_{name}, postroom_{part}_{name}"
            await run_sql(server_dsn, f"drop role if exists {roles}")
