"""docs/samples/stripe_calls: a refund in the transaction of its order, and how it went."""

from __future__ import annotations

from pathlib import Path

from postroom.base.db import Pool
from postroom.dev.stripe_api import StripeStandIn
from tests.fixtures.engine import AdapterEngine
from tests.fixtures.stripe_calls import call_adapter

SAMPLES = Path(__file__).parents[2] / "docs" / "samples" / "stripe_calls"
RESULT = (SAMPLES / "result.sql").read_text(encoding="utf-8")


async def test_the_refund_of_the_page_is_made_and_its_result_can_be_read(dsn: str, pool: Pool) -> None:
    await pool.execute("create table shop_order (id bigint, state text)")
    await pool.execute("insert into shop_order values (42, 'paid')")
    await pool.execute((SAMPLES / "refund.sql").read_text(encoding="utf-8"))
    stand_in = StripeStandIn()
    await stand_in.start()
    adapter = call_adapter(pool, stand_in)
    waiting = await pool.fetchrow(RESULT)
    assert waiting is not None
    assert waiting["answered_at"] is None
    await (await AdapterEngine(dsn, pool, adapter).start()).drain()
    await adapter.close()
    await stand_in.stop()
    [done] = stand_in.calls.done
    assert (done.path, done.params) == ("/v1/refunds", {"charge": "ch_1", "amount": "500"})
    [row] = await pool.fetch(RESULT)
    assert (row["status"], row["object_type"], row["object_id"], row["code"]) == (200, "refund", "re_1", None)
