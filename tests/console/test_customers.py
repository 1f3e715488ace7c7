"""The console shows what a customer may use, and to whom."""

from __future__ import annotations

from pathlib import Path

from postroom.admin.tokens import Scope, insert_token
from postroom.base.db import Pool, transaction
from postroom.base.settings import Settings
from postroom.outbox.reach import Reach
from tests.channels.stripe.test_customer_access import NOW, changed, entitled, subscription, summary
from tests.console.http import visitor
from tests.fixtures.api import running_api
from tests.fixtures.stripe import Scene

PAGE = "/console/customers?customer=cus_1"
HOSTILE = "<script>sso</script>"


async def test_access_is_shown_to_whom_it_may_be(dsn: str, pool: Pool, tmp_path: Path) -> None:
    scene = Scene(pool, tmp_path)
    await scene.process(changed(subscription(status="past_due"), NOW))
    await scene.process(entitled(summary(HOSTILE), NOW))
    await scene.close()
    message_id = await pool.fetchval("select message_id from postroom.stripe_event limit 1")
    async with running_api(dsn, Settings(state_dir=tmp_path)) as api:
        async with visitor(api) as guest:
            await guest.sign_in(api.token)
            page = (await guest.get(PAGE)).text
            assert (await guest.get(f"/console/messages/{message_id}")).text.count(
                "customers?customer=cus_1"
            ) == 1
            assert "no subscription" in (await guest.get("/console/customers?customer=cus_2")).text
            assert "<table" not in (await guest.get("/console/customers")).text
            assert (await guest.get(f"/console/customers?customer={'x' * 501}")).status == 400
        for told in ("prod_1", "grace", "sub_1", "feature", "&lt;script&gt;sso"):
            assert told in page, told
        assert HOSTILE not in page
        async with transaction(pool) as conn:
            reach = Reach(tenants=frozenset({"cus_2"}))
            token, _ = await insert_token(conn, name="other", scopes=(Scope.ADMIN_READ,), reach=reach)
        async with visitor(api) as guest:
            await guest.sign_in(token)
            assert (await guest.get(PAGE)).status == 404
            assert (await guest.get("/console/customers?customer=cus_2")).status == 200
