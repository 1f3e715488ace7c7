"""`postroom.contrib.django`: the transaction of a named database, and the check of what a database has."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final
from uuid import uuid4

import pytest

from postroom import Publication, PublishRefused
from postroom.base.db import Pool
from tests.conftest import on_database, run_sql
from tests.fixtures.django import django_on

MAIL: Final[Publication] = {"channel": "email", "payload": {"to": "ada@example.com"}, "key": "welcome:1"}


async def test_it_publishes_in_atomic_and_refuses_outside_of_it(dsn: str, pool: Pool) -> None:
    third: Publication = {**MAIL, "key": "welcome:3"}
    with django_on(dsn):
        from django.db import connections, transaction

        from postroom.contrib.django import publish, publish_many

        with transaction.atomic():
            first = publish(**MAIL)
            with transaction.atomic(), connections["default"].execute_wrapper(count := Count()):
                assert publish_many([MAIL, {**MAIL, "key": "welcome:2"}], using="default")[0] == first
            assert count.calls == 1, "what an application measures and logs sees it, too"
            with suppress(ValueError), transaction.atomic():
                publish(**third)
                raise ValueError
        with pytest.raises(PublishRefused, match=r"publish within `with transaction\.atomic\(\)`"):
            publish(**MAIL)
    keys = await pool.fetch("select key from postroom.message order by key")
    assert [row["key"] for row in keys] == ["welcome:1", "welcome:2"]


class Count:
    calls = 0

    def __call__(self, execute: Any, *arguments: Any) -> Any:
        self.calls += 1
        return execute(*arguments)


def checked(dsn: str) -> list[tuple[str, str]]:
    """What `manage.py check --database default` finds."""
    with django_on(dsn):
        from django.core.checks import run_checks

        return [(each.id, each.hint) for each in run_checks(databases=["default"])]


async def test_the_check_tells_what_the_database_lacks(server_dsn: str, dsn: str, pool: Pool) -> None:
    role = f"shop_{uuid4().hex[:8]}"
    await pool.execute(f"create role {role} login password 'x'")
    own = dsn.replace(dsn[len("postgresql://") : dsn.index("@")], f"{role}:x")
    assert checked(own) == [("postroom.W002", f"in SQL: grant postroom_publisher to {role}")]
    await pool.execute(f"grant postroom_publisher to {role}")
    assert checked(own) == []
    await pool.execute(f"drop role {role}")

    name = f"plain_{uuid4().hex[:8]}"
    await run_sql(server_dsn, f'create database "{name}"')
    assert checked(on_database(server_dsn, name)) == [("postroom.W001", "postroom migrate, on this database")]
    await run_sql(server_dsn, f'drop database "{name}" with (force)')
