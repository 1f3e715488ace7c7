"""Fixtures: a real PostgreSQL, one template database a test process, one database a test."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import pytest
from hypothesis import settings

from postroom.base.db import Pool, open_pool
from postroom.base.migrate import migrate
from postroom.dev.stripe_api import StripeStandIn
from postroom.outbox.ledger.balance import fetch_balance
from postroom.postgres.binaries import Flavour
from postroom.postgres.database import create_database, drop_database
from postroom.postgres.logins import make_logins
from postroom.postgres.server import LocalPostgres
from tests import tools
from tests.fixtures.roles import LOGINS, POOLS, as_role

settings.register_profile("patient", deadline=None)  # a busy machine is no fault
settings.load_profile("patient")

SUMMARY = "summary"
"""A property of a test that is printed when all have run, also of one that passed on another process."""


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs"):
        for program in mark.args:
            tools.require(program)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On the machine's own PostgreSQL only what talks to a database runs once more."""
    if flavour() == "machine":
        talks = [item for item in items if "server_dsn" in getattr(item, "fixturenames", ())]
        config.hook.pytest_deselected(items=[item for item in items if item not in set(talks)])
        items[:] = talks


def flavour() -> Flavour:
    """POSTROOM_TEST_FLAVOUR chooses the PostgreSQL: `embedded` (default) or `machine`."""
    match os.environ.get("POSTROOM_TEST_FLAVOUR", "embedded"):
        case "embedded":
            return "embedded"
        case "machine":
            return "machine"
    raise pytest.UsageError("POSTROOM_TEST_FLAVOUR is embedded or machine")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in tools.lines_of_missing(str(r.longrepr) for r in terminalreporter.getreports("skipped")):
        terminalreporter.write_line(line)
    for report in terminalreporter.getreports("passed"):
        for name, line in report.user_properties:
            if name == SUMMARY:
                terminalreporter.write_line(f"{report.nodeid.rpartition('::')[2]}: {line}")


def today() -> str:
    """As PostgreSQL names the days of the log."""
    return datetime.now(UTC).strftime("%Y%m%d")


def on_database(dsn: str, name: str) -> str:
    parts = urlsplit(dsn)
    return urlunsplit(parts._replace(path=f"/{name}"))


async def run_sql(dsn: str, sql: str) -> None:
    conn = await asyncpg.connect(dsn)
    try:
        await conn.execute(sql)
    finally:
        await conn.close()


@pytest.fixture(scope="session")
def server_dsn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL server of this test process, its maintenance database.

    POSTROOM_TEST_SERVER names a running server instead.
    """
    given = os.environ.get("POSTROOM_TEST_SERVER")
    if given:
        yield given
        return
    state_dir = tmp_path_factory.mktemp("postgres")
    # Two thirds of what it takes to sign in: a password hard to guess, and asking for TLS, which it has not.
    cheap = {"scram_iterations": "1"} if flavour() == "embedded" else {}
    os.environ["PGSSLMODE"] = "disable"
    # Compressing the pages of each test's database in the WAL took longer than copying them.
    chosen = {"wal_compression": "off", **cheap}
    with LocalPostgres(state_dir, flavour=flavour(), settings=chosen) as server:
        yield on_database(server.dsn, "postgres")


@pytest.fixture(scope="session")
def template(server_dsn: str) -> Iterator[str]:
    """A migrated database that each test's own is copied from. Its name says the day it was made."""
    name = f"template_{today()}_{uuid4().hex[:12]}"
    asyncio.run(create_database(server_dsn, name))
    dsn = on_database(server_dsn, name)
    asyncio.run(migrate(dsn, roles=True))
    LOGINS.update(asyncio.run(make_logins(dsn)))
    yield name
    asyncio.run(drop_database(server_dsn, name))


@pytest.fixture
async def dsn(server_dsn: str, template: str, request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """A fresh, migrated database of this test's own. After the test its ledger must add up.

    Mark a test `rows_by_hand` when it writes rows that the engine would never write.
    """
    name = f"test_{uuid4().hex[:12]}"
    await create_database(server_dsn, name, template=template)
    dsn = on_database(server_dsn, name)
    if today() not in template:  # past midnight the log lacks its last day
        await run_sql(dsn, "select postroom.make_attempt_partitions(7)")
    try:
        yield dsn
        if request.node.get_closest_marker("rows_by_hand") is None:
            assert await ledger_drift(dsn) == 0, "the ledger does not add up after this test"
    finally:
        await drop_database(server_dsn, name)


async def ledger_drift(dsn: str) -> int:
    conn = await asyncpg.connect(dsn)
    try:
        async with conn.transaction(isolation="repeatable_read"):
            return (await fetch_balance(conn)).drift
    finally:
        await conn.close()


@pytest.fixture
async def pool(dsn: str) -> AsyncIterator[Pool]:
    """The owner's, for what a test does by hand; what stands for a process works as `pool_as` its role."""
    pool = await open_pool(dsn)
    POOLS[pool] = {part: await open_pool(as_role(dsn, part)) for part in ("api", "runner")}
    yield pool
    for each in (*POOLS.pop(pool).values(), pool):
        await each.close()


@pytest.fixture
async def stand_in() -> AsyncIterator[StripeStandIn]:
    """Stripe's API on a port of its own."""
    stand_in = StripeStandIn()
    await stand_in.start()
    yield stand_in
    await stand_in.stop()
