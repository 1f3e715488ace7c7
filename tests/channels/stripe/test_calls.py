"""Calls to Stripe: what is sent, what becomes of each answer, and one effect for one message."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from postroom.admin.audit import Actor
from postroom.admin.stripe import looked_up
from postroom.base.db import Pool, Record, transaction
from postroom.base.errors import Conflict
from postroom.channels.stripe.calls import StripeCallAdapter
from postroom.dev.stripe_api import Fault, StripeStandIn
from postroom.dev.stripe_calls import Change, Moment
from postroom.outbox.ledger.replay import replay_one
from postroom.outbox.model import Settled
from postroom.outbox.policy import settle
from postroom.outbox.store import settle_claims
from tests.fixtures.engine import AT_ONCE, AdapterEngine
from tests.fixtures.stripe_calls import EU_KEY, call_adapter

REFUND = {"method": "POST", "path": "/v1/refunds", "params": {"charge": "ch_1", "amount": 500}}
METER = {"event_name": "api_calls", "payload": {"stripe_customer_id": "cus_1", "value": 25}}
ADA = Actor("ada")
PUBLISH = "select postroom.publish('stripe_api', $1, key => $2)"


class Calls:
    """One runner's part of the channel, with a stand-in for Stripe."""

    def __init__(self, pool: Pool, dsn: str, stand_in: StripeStandIn) -> None:
        self.pool = pool
        self.dsn = dsn
        self.stripe = stand_in

    async def open(self, **options: Any) -> Calls:
        self.adapter: StripeCallAdapter = call_adapter(self.pool, self.stripe, **options)
        self.engine = await AdapterEngine(self.dsn, self.pool, self.adapter, AT_ONCE).start()
        return self

    async def publish(self, payload: dict[str, Any], key: str | None = None) -> UUID:
        message_id: UUID = await self.pool.fetchval(PUBLISH, json.dumps(payload), key)
        return message_id

    async def once(self) -> None:
        """Each call that is due, one attempt."""
        for claim in await self.engine.claim():
            answer = await self.adapter.deliver(claim)
            assert not isinstance(answer, Settled)
            settlement = settle(answer, attempts=claim.attempts, backoff=AT_ONCE, jitter=0.0)
            async with transaction(self.pool) as conn:
                assert not await settle_claims(conn, [(claim, settlement, 1)])

    async def send(self, payload: dict[str, Any], key: str | None = None) -> UUID:
        message_id = await self.publish(payload, key)
        await self.once()
        return message_id

    async def due(self) -> None:
        await self.pool.execute("update postroom.delivery set due_at = now()")
        await self.pool.execute("update postroom.circuit set retry_at = now() where retry_at is not null")

    async def again(self) -> None:
        await self.due()
        await self.once()

    async def later(self, hours: float) -> None:
        await self.pool.execute(
            "update postroom.stripe_call set sent_at = sent_at - make_interval(hours => $1)", hours
        )

    async def replay(self, message_id: UUID) -> None:
        async with transaction(self.pool) as conn:
            await replay_one(conn, message_id, actor="test")
        await self.again()

    async def letter(self) -> Record:
        row: Record
        [row] = await self.pool.fetch("select cause, code, reason, attempts from postroom.dead_letter")
        return row

    async def attempt(self) -> Record:
        row: Record | None = await self.pool.fetchrow(
            "select outcome, code, reason, detail from postroom.attempt order by ended_at desc limit 1"
        )
        assert row is not None
        return row

    async def row(self, sql: str = "select * from postroom.stripe_call") -> Record:
        row: Record
        [row] = await self.pool.fetch(sql)
        return row

    @property
    def done(self) -> list[Change]:
        return self.stripe.calls.done

    @property
    def arrived(self) -> list[Change]:
        return self.stripe.calls.arrived


@pytest.fixture
async def calls(pool: Pool, dsn: str) -> AsyncIterator[Calls]:
    stand_in = StripeStandIn()
    await stand_in.start()
    calls = await Calls(pool, dsn, stand_in).open()
    yield calls
    await calls.adapter.close()
    await stand_in.stop()


async def test_what_is_rolled_back_is_never_sent(calls: Calls) -> None:
    async with calls.pool.acquire() as conn:
        transaction = conn.transaction()
        await transaction.start()
        assert await conn.fetchval(PUBLISH, json.dumps(REFUND), "refund:1")
        await transaction.rollback()
    await calls.once()
    assert calls.arrived == []


async def test_a_refund_is_made_with_its_own_key_and_the_result_stands_beside_it(calls: Calls) -> None:
    message_id = await calls.send(REFUND, key="refund:1")
    assert await calls.publish(REFUND, key="refund:1") == message_id
    await calls.once()
    [done] = calls.done
    assert done == Change("POST", "/v1/refunds", {"charge": "ch_1", "amount": "500"}, f"{message_id}-0", None)
    result = await calls.row(
        "select c.status, c.request_id, c.object_type, c.object_id, o.data #>> '{charge}' as charge,"
        " o.fetched, o.livemode, o.api_version from postroom.stripe_call c"
        " join postroom.stripe_object o on o.account = c.account and o.object_id = c.object_id"
    )
    assert tuple(result) == (200, "req_1", "refund", "re_1", "ch_1", True, False, "2026-10-28.endive")
    attempt = await calls.attempt()
    assert (attempt["outcome"], attempt["code"]) == ("delivered", "200")
    assert json.loads(attempt["detail"])["object_id"] == "re_1"


async def test_v1_gets_a_form_and_v2_json(calls: Calls) -> None:
    params = {"a": True, "b": None, "items": [{"price": "p_1"}], "metadata": {"order": 7}}
    await calls.send({"method": "POST", "path": "/v1/things", "params": params})
    await calls.send({"method": "POST", "path": "/v2/core/things", "params": params})
    form, as_json = calls.done
    assert form.params == {
        "a": "true", "b": "", "items": {"0": {"price": "p_1"}}, "metadata": {"order": "7"}
    }  # fmt: skip
    assert as_json.params == params


@pytest.mark.parametrize(
    ("account", "key", "connected"),
    [("self", "sk_test_of_the_calls", None), ("acct_1", "sk_test_of_the_calls", "acct_1"),
     ("eu", EU_KEY, None), ("eu/acct_2", EU_KEY, "acct_2")],
)  # fmt: skip
async def test_it_goes_to_the_account_that_it_names(
    calls: Calls, account: str, key: str, connected: str | None
) -> None:
    await calls.send({**REFUND, "account": account})
    [request] = calls.stripe.requests
    assert (request.key, request.account) == (key, connected)
    assert (await calls.row("select account from postroom.stripe_object"))["account"] == account


async def test_an_account_without_a_key_waits_and_names_the_setting(calls: Calls) -> None:
    await calls.send({**REFUND, "account": "none"})
    row = await calls.row("select state, attempts, last_reason from postroom.delivery")
    assert tuple(row) == ("pending", 0, "POSTROOM_STRIPE__ACCOUNTS__NONE__API_KEY is not set")
    assert await calls.pool.fetchval("select count(*) from postroom.stripe_call") == 0


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_a_usage_counts_once_and_for_when_it_was_published(calls: Calls, version: str) -> None:
    calls.stripe.fail(Fault.SERVER_ERROR, times=1)
    message_id = await calls.send(
        {"method": "POST", "path": f"/{version}/billing/meter_events", "params": METER}
    )
    await calls.again()
    [done] = calls.done
    assert done.params["identifier"] == f"{message_id}-0"
    assert done.params["timestamp"]
    own = {**METER, "identifier": "mine", "timestamp": 1_700_000_000}
    await calls.send({"method": "POST", "path": "/v1/billing/meter_events", "params": own})
    assert (calls.done[-1].params["identifier"], calls.done[-1].params["timestamp"]) == ("mine", "1700000000")
    row = await calls.row("select * from postroom.stripe_call order by message_id limit 1")
    assert (row["object_type"], row["object_id"]) == ("billing.meter_event", None)


async def test_a_refusal_dies_with_stripes_code_and_request_and_a_replay_has_a_new_key(calls: Calls) -> None:
    calls.stripe.calls.declines["/v1/refunds"] = "charge_disputed"
    message_id = await calls.send(REFUND)
    letter = await calls.letter()
    assert (letter["cause"], letter["code"], letter["attempts"]) == ("permanent", "charge_disputed", 1)
    assert "HTTP 402 charge_disputed" in letter["reason"]
    assert "'req_1'" in letter["reason"]
    calls.stripe.calls.declines.clear()
    await calls.replay(message_id)
    assert [each.key for each in calls.done] == [f"{message_id}-0-2"]


async def test_a_refusal_after_an_attempt_that_may_have_arrived_keeps_its_key(calls: Calls) -> None:
    calls.stripe.calls.hold = Moment.BEFORE
    message_id = await calls.send(REFUND)
    calls.stripe.calls.hold = None
    calls.stripe.fail(Fault.NO_ACCESS, times=1)
    await calls.again()
    letter = await calls.letter()
    assert (letter["cause"], letter["code"]) == ("ours", "account_invalid")
    assert "no access to account self" in letter["reason"]
    await calls.replay(message_id)
    assert {each.key for each in calls.arrived} == {f"{message_id}-0"}


async def test_after_stripes_window_it_dies_until_somebody_has_looked(calls: Calls) -> None:
    calls.stripe.calls.hold = Moment.AFTER
    message_id = await calls.send(REFUND)
    calls.stripe.calls.let_go()
    calls.stripe.calls.forget_keys()
    await calls.later(24)
    await calls.again()
    letter = await calls.letter()
    assert (letter["cause"], letter["code"]) == ("permanent", "key_lost")
    assert f"postroom stripe looked-up {message_id} --done" in letter["reason"]
    await calls.replay(message_id)
    assert (await calls.letter())["code"] == "key_lost"
    assert len(calls.done) == 1

    async with transaction(calls.pool) as conn:
        await looked_up(conn, message_id, done=True, object_id="re_1", actor=ADA)
    await calls.again()
    assert len(calls.done) == 1
    assert (await calls.attempt())["outcome"] == "delivered"
    assert (await calls.row())["object_id"] == "re_1"


async def test_what_stripe_has_not_done_is_sent_under_a_new_key(calls: Calls) -> None:
    calls.stripe.fail(Fault.HANG)
    message_id = await calls.send(REFUND)
    calls.stripe.recover()
    await calls.later(24)
    await calls.again()
    async with transaction(calls.pool) as conn:
        await looked_up(conn, message_id, done=False, actor=ADA)
    await calls.again()
    assert [each.key for each in calls.done] == [f"{message_id}-0-2"]
    with pytest.raises(Conflict):
        async with transaction(calls.pool) as conn:
            await looked_up(conn, message_id, done=False, actor=ADA)


async def test_what_waits_for_a_person_takes_no_trial_of_an_open_breaker(calls: Calls) -> None:
    calls.stripe.fail(Fault.HANG)
    await calls.send(REFUND)
    calls.stripe.recover()
    await calls.later(24)
    await calls.pool.execute(
        "update postroom.circuit set state = 'open', retry_at = now() where name = 'stripe'"
    )
    await calls.adapter.close()
    calls.adapter = call_adapter(calls.pool, calls.stripe)
    await calls.again()
    assert (await calls.letter())["code"] == "key_lost"
    await calls.send(REFUND)
    assert len(calls.done) == 1


async def test_what_never_left_is_as_if_it_had_not_been_tried(calls: Calls) -> None:
    await calls.pool.execute(
        "update postroom.circuit set state = 'open', retry_at = now() + interval '1 hour'"
        " where name = 'stripe'"
    )
    await calls.send(REFUND)
    assert (await calls.row())["sent_at"] is None
    assert calls.stripe.requests == []


async def test_an_attempt_that_was_held_back_is_not_counted_beside_one_that_may_have_arrived(
    calls: Calls,
) -> None:
    """However long an outage lasts, the number of attempts stays what it was."""
    calls.stripe.fail(Fault.HANG)
    await calls.send(REFUND)
    calls.stripe.recover()
    first = await calls.row()
    await calls.pool.execute(
        "update postroom.circuit set state = 'open', retry_at = now() + interval '1 hour'"
    )
    await calls.adapter.close()
    calls.adapter = call_adapter(calls.pool, calls.stripe)
    for _ in range(3):
        await calls.pool.execute("update postroom.delivery set due_at = now()")
        await calls.once()
    assert await calls.row() == first
    assert first["sends"] == 1


async def test_text_that_postgresql_cannot_keep_is_kept_as_well_as_it_can(calls: Calls) -> None:
    calls.stripe.put({"id": "cus_1", "object": "customer", "name": "a\x00b", "large": 2**70})
    await calls.send({"method": "POST", "path": "/v1/customers/cus_1", "params": {}})
    assert (await calls.attempt())["outcome"] == "delivered"
    row = await calls.row("select data #>> '{name}' as name from postroom.stripe_object")
    assert row["name"] == "a\ufffdb"


async def test_v2_knows_its_keys_for_a_month(calls: Calls) -> None:
    calls.stripe.fail(Fault.HANG)
    await calls.send({"method": "POST", "path": "/v2/core/things", "params": {}})
    calls.stripe.recover()
    await calls.later(24 * 29)
    await calls.again()
    assert len(calls.done) == 1


async def test_what_never_reached_stripe_may_go_days_later(calls: Calls) -> None:
    """Refused connections, a limit, a key that Stripe does not know: nothing has begun."""
    await calls.stripe.stop()
    await calls.send(REFUND)
    assert (await calls.row())["sent_at"] is None
    await calls.stripe.start()
    calls.stripe.fail(Fault.RATE_LIMITED, times=1)
    await calls.again()
    assert (await calls.row())["sent_at"] is None
    await calls.pool.execute("update postroom.delivery_limit set spent_to = now()")
    await calls.again()
    assert len(calls.done) == 1
    calls.stripe.fail(Fault.UNAUTHORIZED)
    message_id = await calls.send(REFUND)
    sent_at = "select sent_at from postroom.stripe_call where message_id = $1"
    assert await calls.pool.fetchval(sent_at, message_id) is None


async def test_an_attempt_that_stripe_still_works_on_is_waited_for(calls: Calls) -> None:
    calls.stripe.calls.hold = Moment.DURING
    await calls.send(REFUND)
    calls.stripe.calls.hold = None
    await calls.again()
    row = await calls.row("select attempts, last_reason from postroom.delivery")
    assert tuple(row) == (1, "Stripe still works on an earlier attempt")
    calls.stripe.calls.let_go()
    await calls.again()
    assert (await calls.attempt())["outcome"] == "delivered"
    assert len(calls.done) == 1


async def test_a_limit_costs_no_attempt_and_a_locked_object_one(calls: Calls) -> None:
    calls.stripe.fail(Fault.RATE_LIMITED, times=1)
    await calls.send(REFUND)
    assert (await calls.row("select attempts from postroom.delivery"))["attempts"] == 0
    await calls.pool.execute("update postroom.delivery_limit set spent_to = now()")
    calls.stripe.fail(Fault.LOCKED, times=1)
    await calls.again()
    assert (await calls.row("select attempts from postroom.delivery"))["attempts"] == 1
    circuits = await calls.pool.fetch("select state from postroom.circuit where name = 'stripe'")
    assert {row["state"] for row in circuits} <= {"closed"}
    await calls.again()
    assert len(calls.done) == 1


async def test_a_failure_that_stripe_keeps_under_the_key_is_for_a_person(calls: Calls) -> None:
    calls.stripe.calls.fails = 1
    await calls.send(REFUND)
    assert (await calls.attempt())["outcome"] == "retry"
    await calls.again()
    letter = await calls.letter()
    assert "Stripe failed (HTTP 500) and keeps to it under this key" in letter["reason"]
    assert "looked-up" in letter["reason"]
    assert len(calls.done) == 1


async def test_other_parameters_under_the_same_key_are_for_a_person(calls: Calls) -> None:
    calls.stripe.calls.hold = Moment.AFTER
    message_id = await calls.send(REFUND)
    calls.stripe.calls.let_go()
    await calls.pool.execute(
        "update postroom.message set payload = jsonb_set(payload, '{params,amount}', '600') where id = $1",
        message_id,
    )
    await calls.again()
    letter = await calls.letter()
    assert letter["code"] == "idempotency_error"
    assert "looked-up" in letter["reason"]


async def test_what_is_deleted_is_gone_and_a_repetition_says_so(calls: Calls) -> None:
    calls.stripe.put({"id": "cus_1", "object": "customer"})
    delete = {"method": "DELETE", "path": "/v1/customers/cus_1"}
    calls.stripe.calls.hold = Moment.AFTER
    await calls.send(delete)
    calls.stripe.calls.let_go()
    await calls.later(48)  # no key is needed to delete a thing once
    await calls.again()
    assert (await calls.attempt())["detail"] == "it was gone already, as an earlier attempt wanted"
    assert {each.key for each in calls.arrived} == {None}
    await calls.send({**delete, "path": "/v1/customers/cus_2"})
    assert (await calls.letter())["code"] == "resource_missing"


async def test_the_mirror_keeps_what_is_newer(calls: Calls) -> None:
    """An answer that Stripe had kept is as old as the first attempt."""
    calls.stripe.calls.hold = Moment.AFTER
    await calls.send(REFUND)
    calls.stripe.calls.let_go()
    await calls.pool.execute(
        "insert into postroom.stripe_object"
        " (account, object_id, type, data, deleted, as_of, event_id, event_rank, fetched)"
        " values ('self', 're_1', 'refund', '{\"status\": \"newer\"}', false, now(), 'evt_1', 1, false)"
    )
    await calls.again()
    row = await calls.row("select data #>> '{status}' as status, event_id from postroom.stripe_object")
    assert tuple(row) == ("newer", "evt_1")
    assert (await calls.row())["object_id"] == "re_1"


async def test_what_is_told_once_and_what_was_expanded_is_not_mirrored(calls: Calls) -> None:
    secret = {"method": "POST", "path": "/v1/customers", "params": {"secret": "whsec_x", "name": "n"}}
    await calls.send(secret)
    await calls.send({**REFUND, "params": {"charge": "ch_1", "expand": ["charge"]}})
    [row] = await calls.pool.fetch("select type, data::text from postroom.stripe_object")
    assert row["type"] == "customer"
    assert "whsec_x" not in row["data"]


async def test_the_budget_is_the_one_of_all_requests(calls: Calls) -> None:
    await calls.adapter.close()
    calls.adapter = call_adapter(calls.pool, calls.stripe, per_second=0.01)
    for _ in range(3):
        await calls.publish(REFUND)
    await calls.once()
    assert len(calls.done) < 3
    row = await calls.row("select destination from postroom.delivery_limit")
    assert row["destination"] == "api"
    assert await calls.pool.fetchval("select count(*) from postroom.delivery where attempts = 0") > 0


async def test_an_outage_opens_the_breaker_of_stripe_and_spends_no_attempt_then(calls: Calls) -> None:
    calls.stripe.fail(Fault.SERVER_ERROR)
    for _ in range(8):
        await calls.publish(REFUND)
    await calls.once()
    await calls.once()
    assert (await calls.row("select state from postroom.circuit where name = 'stripe'"))["state"] == "open"
    arrived = len(calls.stripe.requests)
    await calls.pool.execute("update postroom.delivery set due_at = now()")
    await calls.once()
    assert len(calls.stripe.requests) == arrived
