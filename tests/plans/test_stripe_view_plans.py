"""An object is looked up in its view by an index of the mirror, which its data are no part of."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from postroom.base.db import Pool, fetch_one

OBJECTS = """
insert into postroom.stripe_object
    (account, object_id, type, data, deleted, as_of, event_id, event_rank, fetched, livemode)
select 'self', kind || '_' || n, case kind when 'in' then 'invoice' else 'customer' end,
    jsonb_build_object('id', kind || '_' || n, 'customer', 'cus_' || n, 'total', n,
        'lines', jsonb_build_object('data', jsonb_build_array(jsonb_build_object('id', 'il_' || n)))),
    false, now(), 'evt_' || n, 1, false, true
from generate_series(1, 10000) n, unnest(array['in', 'cus']) kind"""
LOOK_UPS = {
    "by id": "select total from stripe.invoice where id = 'in_5000'",
    "by account and id": "select * from stripe.invoice where account = 'self' and id = 'in_5000'",
    "the lines of one": "select id from stripe.invoice_lines where invoice_id = 'in_5000'",
    "joined": """select c.email from stripe.invoice i
        join stripe.customer c on c.account = i.account and c.id = i.customer where i.id = 'in_5000'""",
}


def scans(plan: dict[str, Any]) -> list[tuple[str, float]]:
    """Each part of a plan that reads a table: how, and how many rows it read and threw away."""
    found = [
        (
            plan["Node Type"],
            plan["Actual Rows"] * plan["Actual Loops"] + plan.get("Rows Removed by Filter", 0),
        )
        for _ in range("Relation Name" in plan)
    ]
    return found + [each for part in plan.get("Plans", ()) for each in scans(part)]


@pytest.mark.rows_by_hand
@pytest.mark.parametrize("name", LOOK_UPS)
async def test_one_object_is_looked_up_by_an_index(pool: Pool, name: str) -> None:
    await pool.execute(OBJECTS)
    await pool.execute("analyze postroom.stripe_object")
    plan = msgspec.json.decode(await pool.fetchval(f"explain (analyze, format json) {LOOK_UPS[name]}"))
    read = scans(plan[0]["Plan"])
    assert read
    assert {how for how, _ in read} == {"Index Scan"}
    assert sum(rows for _, rows in read) == len(read)


@pytest.mark.rows_by_hand
async def test_a_new_state_of_an_object_changes_no_index(pool: Pool) -> None:
    """Updates of the mirror are heap-only, so its indexes do not grow with them."""
    await pool.execute(OBJECTS)
    async with pool.acquire() as conn, conn.transaction():
        await conn.execute(
            "update postroom.stripe_object set type = type, data = data || '{\"total\": 1}'"
            " where object_id = 'in_7'"
        )
        changes = await fetch_one(
            conn,
            "select n_tup_upd, n_tup_hot_upd from pg_stat_xact_user_tables where relname = 'stripe_object'",
        )
    assert (changes["n_tup_upd"], changes["n_tup_hot_upd"]) == (1, 1)
