"""The schema `stripe`: who may use it, and how it comes to be where somebody else had the name first."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import asyncpg
import pytest

from postroom.base.db import Connection, Pool
from postroom.base.errors import Unavailable
from postroom.base.migrate import migrate
from postroom.base.schema import fetch_revision, head
from postroom.postgres.logins import make_logins, with_login
from tests.conftest import on_database, run_sql
from tests.fixtures.roles import as_role

PARTS: Final = ("api", "runner", "reader", "owner", "publisher")
OWNERS: Final = """
select nspname::text, pg_get_userbyid(nspowner)::text as owner from pg_namespace
where nspname in ('postroom', 'stripe') order by 1"""

INSIDE: Final = """
select relname, pg_get_userbyid(relowner)::text as owner from pg_class
where relnamespace = 'stripe'::regnamespace and relname in ('mine', 'kept')"""


@pytest.fixture
async def fresh(server_dsn: str, request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """A database of its own without a schema, named after its test."""
    name = f"room_{abs(hash(request.node.name)) % 10**8}"
    await run_sql(server_dsn, f'create database "{name}"')
    yield on_database(server_dsn, name)
    await run_sql(server_dsn, f'drop database if exists "{name}" with (force)')
    for part in PARTS:
        await run_sql(
            server_dsn, f'drop role if exists "postroom_login_{part}_{name}", "postroom_{part}_{name}"'
        )


async def may(conn: Connection, privilege: str) -> bool:
    answer: bool = await conn.fetchval("select has_schema_privilege('stripe', $1)", privilege)
    return answer


@pytest.mark.parametrize("part", ["api", "runner", "reader"])
async def test_processes_and_readers_use_the_schema_and_make_nothing_in_it(dsn: str, part: str) -> None:
    conn = await asyncpg.connect(as_role(dsn, part))
    try:
        assert (await may(conn, "usage"), await may(conn, "create")) == (True, False)
        for statement in (
            "create view stripe.mine as select 1",
            "drop schema stripe",
            "comment on schema stripe is ''",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await conn.execute(statement)
    finally:
        await conn.close()


async def test_another_softwares_schema_of_that_name_is_left_as_it_is_and_said_so(fresh: str) -> None:
    """Other mirrors call theirs so, too. Nothing is changed, and the message says what to do."""
    await run_sql(fresh, "create schema stripe; grant usage on schema stripe to public")
    await run_sql(fresh, "create table stripe.customers (id text)")
    with pytest.raises(Exception, match='has a schema "stripe" that is not Postroom\'s') as refused:
        await migrate(fresh, roles=True)
    assert "alter schema stripe rename to" in str(refused.value.__cause__ or refused.value)
    conn = await asyncpg.connect(fresh)
    assert await fetch_revision(conn) is None
    await conn.execute("alter schema stripe rename to other_mirror")
    await migrate(fresh, roles=True)
    assert await conn.fetchval("select has_schema_privilege('public', 'other_mirror', 'usage')")
    assert not await conn.fetchval("select has_schema_privilege('public', 'stripe', 'usage')")
    await conn.close()


async def test_an_owner_that_may_make_no_schema_is_told_the_command_that_does(fresh: str) -> None:
    """An installation of before, whose owner's login has no privilege on the database."""
    await migrate(fresh, roles=True)
    owner = (await make_logins(fresh))["owner"]
    await run_sql(
        fresh,
        "drop schema stripe cascade; drop schema postroom cascade; "
        f'create schema postroom authorization "postroom_owner_{fresh.rpartition("/")[2]}"',
    )
    with pytest.raises(Exception, match="postroom migrate --roles"):
        await migrate(owner)
    await migrate(fresh, roles=True)
    await migrate(owner)
    conn = await asyncpg.connect(fresh)
    owners = await conn.fetch(OWNERS)
    assert [each["nspname"] for each in owners] == ["postroom", "stripe"]
    assert len({each["owner"] for each in owners}) == 1
    await conn.close()


async def test_who_reads_a_view_for_long_holds_up_no_publisher_and_the_views_come_later(
    dsn: str, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("postroom.base.migrate.VIEWS_LOCK_TIMEOUT", "200ms")
    await pool.execute("comment on view stripe.refund is 'Generated: before'")
    async with pool.acquire() as reading, reading.transaction():
        await reading.fetch("select * from stripe.refund")
        with pytest.raises(Unavailable, match="run 'postroom migrate' again once that query has ended"):
            await migrate(dsn)
        assert await pool.fetchval("select postroom.publish('email', '{}')")
    assert await migrate(dsn) == head()
    assert await pool.fetchval("select obj_description('stripe.refund'::regclass)") != "Generated: before"


async def test_an_installation_without_roles_gives_both_schemas_to_the_owner_later(
    server_dsn: str, fresh: str
) -> None:
    name, login = fresh.rpartition("/")[2], "postroom_without_roles"
    await run_sql(server_dsn, f"create role {login} login createrole password 'x'")
    try:
        await run_sql(server_dsn, f'alter database "{name}" owner to {login}')
        before = with_login(fresh, login, "x")
        await migrate(before)
        await run_sql(before, "create view stripe.mine as select 1; create table stripe.kept (a int)")
        await migrate(before, roles=True)
        conn = await asyncpg.connect(before)
        assert {each["owner"] for each in await conn.fetch(OWNERS)} == {f"postroom_owner_{name}"}
        found = await conn.fetch(INSIDE)
        assert [each["owner"] for each in found] == [f"postroom_owner_{name}"] * 2
        await conn.close()
    finally:
        await run_sql(server_dsn, f'drop database if exists "{name}" with (force)')
        for part in PARTS:
            await run_sql(server_dsn, f'drop role if exists "postroom_{part}_{name}"')
        await run_sql(server_dsn, f"drop role {login}")
