"""The views of schema `stripe` are what Stripe's library says, and an upgrade takes nothing away."""

from __future__ import annotations

import pytest

from docs.generator.stripe_views import FILE, Columns, View, described, merge, read, stays, write
from postroom.base.db import Pool

TEXT = FILE.read_text(encoding="utf-8")
REFUND = View("refund", "refund", None)
LINES = View("invoice_lines", "invoice", "lines")
VIEWS = "select viewname, definition from pg_views where schemaname = 'stripe'"
MINE = """
create schema reports;
create view reports.refunds as select id, amount, created from stripe.refund;
create materialized view reports.lines as select * from stripe.invoice_lines;
grant usage on schema stripe to {role}; grant select on stripe.refund to {role};
insert into postroom.stripe_object values
    ('self', 're_1', 'refund', '{{"amount": 5, "brand_new": "2026"}}', false, now(), 'evt_1', 0, false)"""


def later() -> dict[View, Columns]:
    """What a release to come might say: something is new, something is gone, something is of another kind."""
    now = {view: dict(columns) for view, columns in described().items()}
    now[REFUND] = {"brand_new": "text", "aaa": "int"} | now[REFUND]
    del now[REFUND]["charge"]
    now[REFUND]["reason"] = "json"
    del now[LINES]
    now[View("novelty", "novelty", None)] = {"created": "time"}
    return now


def test_the_views_are_what_the_library_says() -> None:
    """After an upgrade of it: `make views`."""
    known = read(TEXT)
    assert write(TEXT, merge(known, described())) == TEXT, "make views"
    assert stays(known, described()) == []
    assert len(known) > 150


def test_what_is_known_stays_where_it_is_and_what_is_new_comes_last() -> None:
    known = read(TEXT)
    made = merge(known, later())
    assert list(made) == [*known, View("novelty", "novelty", None)]
    assert list(made[REFUND]) == [*known[REFUND], "brand_new", "aaa"]
    assert {view: columns for view, columns in made.items() if view in known and view != REFUND} == {
        view: columns for view, columns in known.items() if view != REFUND
    }
    assert stays(made, later()) == ["refund.reason stays text; Stripe has it as json now"]
    assert read(write(TEXT, made)) == made


@pytest.mark.rows_by_hand
async def test_an_upgrade_keeps_every_view_and_what_is_built_on_it(pool: Pool) -> None:
    role = f"mine_{abs(hash(TEXT)) % 10**9}"
    async with pool.acquire() as conn, conn.transaction():
        await conn.execute(f"create role {role}")
        await conn.execute(MINE.format(role=role))
        before = dict(await conn.fetch(VIEWS))
        await conn.execute(write(TEXT, merge(read(TEXT), later())))
        after = dict(await conn.fetch(VIEWS))
        assert after.keys() == before.keys() | {"novelty"}
        assert {name for name in before if before[name] != after[name]} == {"refund"}
        assert [tuple(row) for row in await conn.fetch("select id, amount from reports.refunds")] == [
            ("re_1", 5)
        ]
        assert await conn.fetch("select * from reports.lines") == []
        assert await conn.fetchval("select brand_new from stripe.refund") == "2026"
        assert await conn.fetchval("select has_table_privilege($1, 'stripe.refund', 'select')", role)
        await conn.execute(f"drop owned by {role}")
        await conn.execute(f"drop role {role}")


async def test_a_migration_that_changes_no_view_locks_none(pool: Pool) -> None:
    """Whoever reads one for an hour holds up no migration, and so nobody behind it."""
    async with pool.acquire() as reading, reading.transaction(), pool.acquire() as migrating:
        await reading.fetch("select * from stripe.invoice")
        await migrating.execute("set lock_timeout = '200ms'")
        await migrating.execute(TEXT)
        await migrating.execute("reset lock_timeout")
