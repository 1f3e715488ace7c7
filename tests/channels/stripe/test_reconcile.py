"""What no webhook brought comes in all the same: with its effects, once, and it is counted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from postroom.base.db import Pool
from postroom.base.errors import Unavailable
from postroom.channels.stripe import drift
from postroom.channels.stripe.client import Sent
from postroom.channels.stripe.drift import Drift, EndpointStatus
from postroom.channels.stripe.loader import load_effects
from postroom.channels.stripe.reconcile import Reconcile
from postroom.dev.stripe_api import Fault, StripeStandIn
from postroom.dev.stripe_events import snapshot_event, thin_event
from postroom.worker.model import JobContext
from tests.fixtures.clock import DrivenClock
from tests.fixtures.stripe import Scene

NOW = datetime.fromtimestamp(int(datetime.now(UTC).timestamp()), UTC)
ROUTES = '[[route]]\non = "invoice.paid"\nexport = { dataset = "invoices" }\n'
THIN = '[[route]]\non = "v1.billing.meter.error_report_triggered"\nexport = { dataset = "errors" }\n'
URL = "https://pay.example.com/v1/stripe/webhook"


@pytest.fixture
async def scene(pool: Pool, tmp_path: Path, stand_in: StripeStandIn) -> AsyncIterator[Scene]:
    scene = Scene(pool, tmp_path, stand_in=stand_in, routes=ROUTES)
    yield scene
    await scene.close()


@pytest.fixture
def clock() -> DrivenClock:
    return DrivenClock(NOW)


@pytest.fixture
def reconcile(scene: Scene, clock: DrivenClock) -> Reconcile:
    return scene.reconcile(clock)


def paid(n: int, at: datetime) -> dict[str, Any]:
    invoice = {"id": f"in_{n}", "object": "invoice", "status": "paid"}
    return snapshot_event("invoice.paid", invoice, created=int(at.timestamp()), event_id=f"evt_{n}")


async def state(scene: Scene) -> Drift:
    async with scene.pool.acquire() as conn:
        [row] = await drift.list_drift(conn)
    return row


async def run(reconcile: Reconcile) -> int:
    return await reconcile.run(JobContext(once=True))


async def test_what_was_missed_causes_its_effects_once_and_is_counted(
    scene: Scene, stand_in: StripeStandIn, reconcile: Reconcile, clock: DrivenClock
) -> None:
    assert await run(reconcile) == 0, "it begins now: nothing of before is acted on"
    clock.advance(300)
    for n in range(250):
        stand_in.add_event(paid(n, NOW + timedelta(seconds=n // 3)))
        if n % 100:
            await scene.receive(stand_in.events[-1])
    assert await run(reconcile) == 3
    await scene.work()
    assert len(await scene.sent()) == 250
    row = await state(scene)
    assert (row.missed, row.cursor_at) == (3, NOW + timedelta(seconds=180))
    assert await run(reconcile) == 0
    assert (await scene.receive(stand_in.events[0])).duplicate
    await scene.work()
    assert (len(await scene.sent()), (await state(scene)).missed) == (250, 3)


async def test_what_was_there_before_the_first_run_is_left_alone(
    scene: Scene, stand_in: StripeStandIn, reconcile: Reconcile, clock: DrivenClock
) -> None:
    stand_in.add_event(paid(1, NOW - timedelta(minutes=5)))
    await run(reconcile)
    clock.advance(300)
    assert await run(reconcile) == 0
    assert await scene.pool.fetchval("select count(*) from postroom.stripe_event") == 0


async def test_young_events_are_left_to_their_webhooks(
    scene: Scene, stand_in: StripeStandIn, reconcile: Reconcile, clock: DrivenClock
) -> None:
    await run(reconcile)
    clock.advance(300)
    stand_in.add_event(paid(1, clock.now() - timedelta(seconds=119)))
    assert await run(reconcile) == 0
    clock.advance(300)
    assert await run(reconcile) == 1


async def test_an_event_that_stripe_lists_late_is_found(
    scene: Scene, stand_in: StripeStandIn, reconcile: Reconcile, clock: DrivenClock
) -> None:
    await run(reconcile)
    for _ in range(4):
        clock.advance(300)
        await run(reconcile)
    stand_in.add_event(paid(1, clock.now() - timedelta(minutes=14)))
    assert await run(reconcile) == 1


async def test_only_types_that_somebody_needs_are_missed(
    scene: Scene, stand_in: StripeStandIn, reconcile: Reconcile, clock: DrivenClock
) -> None:
    scene.settings.mirror = ("customer",)
    await run(reconcile)
    clock.advance(300)
    created = int(NOW.timestamp())
    for kind, name in (("payout.paid", "payout"), ("customer.created", "customer")):
        stand_in.add_event(snapshot_event(kind, {"id": f"{name}_1", "object": name}, created=created))
    stand_in.add_event(paid(1, NOW))
    assert await run(reconcile) == 2
    types = await scene.pool.fetch("select type from postroom.stripe_event order by type")
    assert [row["type"] for row in types] == ["customer.created", "invoice.paid"]


async def test_thin_events_are_asked_for_where_a_route_names_them(
    scene: Scene, stand_in: StripeStandIn, clock: DrivenClock, tmp_path: Path
) -> None:
    (tmp_path / "thin.toml").write_text(ROUTES + THIN)
    effects = load_effects(routes=tmp_path / "thin.toml", code=(), checks={})
    reconcile = scene.reconcile(clock, effects)
    await run(reconcile)
    clock.advance(300)
    for seconds in (0, 250):
        stand_in.add_event(
            thin_event(
                "v1.billing.meter.error_report_triggered",
                object_id="mtr_1",
                object_type="billing.meter",
                url="/v1/billing/meters/mtr_1",
                created=(NOW + timedelta(seconds=seconds)).isoformat(),
            )
        )
    assert await run(reconcile) == 1, "the other one is too young"
    paths = [each.path for each in stand_in.requests]
    assert paths.count("/v2/core/events") == 1


async def test_a_run_that_fails_keeps_its_cursor_and_the_next_goes_on(
    scene: Scene,
    stand_in: StripeStandIn,
    reconcile: Reconcile,
    clock: DrivenClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("postroom.channels.stripe.reconcile.WAIT_S", 0.0)
    await run(reconcile)
    before = await state(scene)
    stand_in.add_event(paid(1, NOW))
    clock.advance(300)
    stand_in.fail(Fault.SERVER_ERROR)
    with pytest.raises(Unavailable, match=r"account self: .* HTTP 500"):
        await run(reconcile)
    assert (await state(scene)).cursor_at == before.cursor_at
    stand_in.recover()
    assert await run(reconcile) == 1


async def test_after_a_downtime_the_cursor_moves_an_hour_at_a_time(
    scene: Scene,
    stand_in: StripeStandIn,
    reconcile: Reconcile,
    clock: DrivenClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("postroom.channels.stripe.reconcile.WAIT_S", 0.0)
    await run(reconcile)
    began = (await state(scene)).cursor_at
    assert began is not None
    for hour in range(6):
        stand_in.add_event(paid(hour, NOW + timedelta(hours=hour, minutes=30)))
    clock.advance(6 * 3_600)
    stand_in.fail(Fault.SERVER_ERROR, after=4)  # one looks at the endpoints
    with pytest.raises(Unavailable):
        await run(reconcile)
    assert (await state(scene)).cursor_at == began + timedelta(hours=3)
    stand_in.recover()
    assert await run(reconcile) == 3
    assert (await state(scene)).missed == 6


async def test_what_is_older_than_stripe_itself_would_send_fills_the_mirror_only(
    scene: Scene, stand_in: StripeStandIn, reconcile: Reconcile, clock: DrivenClock
) -> None:
    await run(reconcile)
    stand_in.add_event(paid(1, NOW + timedelta(hours=1)))
    stand_in.add_event(paid(2, NOW + timedelta(days=3)))
    clock.advance(4 * 86_400)
    assert await run(reconcile) == 2
    await scene.work()
    assert [each["record"]["id"] for each in await scene.sent()] == ["in_2"]
    assert (await scene.mirror("in_1"))["data"]["status"] == "paid"


async def test_one_account_that_fails_keeps_nobody_else_from_its_turn(
    pool: Pool, tmp_path: Path, stand_in: StripeStandIn, clock: DrivenClock
) -> None:
    from pydantic import SecretStr

    from postroom.base.stripe_settings import StripeAccount

    eu = StripeAccount(api_key=SecretStr("sk_test_eu"))
    scene = Scene(pool, tmp_path, stand_in=stand_in, accounts={"eu": eu}, routes=ROUTES)
    reconcile = scene.reconcile(clock)
    await run(reconcile)
    stand_in.refused.add("sk_test_scene")
    stand_in.add_event(paid(1, NOW))
    clock.advance(300)
    with pytest.raises(Unavailable, match="account self: Stripe refused POSTROOM_STRIPE__API_KEY"):
        await run(reconcile)
    rows = await pool.fetch("select account, missed from postroom.stripe_reconcile order by account")
    assert [tuple(row) for row in rows] == [("eu", 1), ("self", 0)]
    await scene.close()


class TickingClock(DrivenClock):
    """Each look at it takes ten seconds."""

    ticks_s = 0.0

    def monotonic(self) -> float:
        self.ticks_s += 10.0
        return self.ticks_s


async def test_accounts_that_are_far_behind_share_the_time_of_a_run(
    pool: Pool, tmp_path: Path, stand_in: StripeStandIn
) -> None:
    """A run of this job may take ten minutes; what is left is for the next one."""
    from pydantic import SecretStr

    from postroom.base.stripe_settings import StripeAccount

    accounts = {name: StripeAccount(api_key=SecretStr(f"sk_test_{name}")) for name in ("eu", "uk", "us")}
    scene = Scene(pool, tmp_path, stand_in=stand_in, accounts=accounts, routes=ROUTES)
    clock = TickingClock(NOW)
    await run(scene.reconcile(clock))
    clock.advance(86_400)
    clock.ticks_s = 0.0
    await run(scene.reconcile(clock))
    assert clock.ticks_s < 600
    moved = "select count(*) from postroom.stripe_reconcile where cursor_at > began_at"
    assert await pool.fetchval(moved) == 4
    await scene.close()


async def test_without_a_key_nothing_is_asked_and_with_another_mode_it_begins_anew(
    scene: Scene, stand_in: StripeStandIn, reconcile: Reconcile, clock: DrivenClock
) -> None:
    await run(reconcile)
    scene.settings.api_key, key = None, scene.settings.api_key
    asked = len(stand_in.requests)
    await run(reconcile)
    row = await state(scene)
    assert (row.cursor_at, row.behind_s, len(stand_in.requests)) == (None, None, asked)
    scene.settings.api_key = key
    clock.advance(7_200)
    scene.settings.livemode = True
    await run(reconcile)
    row = await state(scene)
    assert (row.live, row.began_at) == (True, clock.now() - timedelta(minutes=2))


async def endpoint(scene: Scene, stand_in: StripeStandIn) -> str:
    made = await scene.apis["self"].send(
        "post", "/v1/webhook_endpoints", {"url": URL, "enabled_events": ["*"]}
    )
    assert isinstance(made, Sent)
    return str(made.data["id"])


async def test_stripe_says_how_the_endpoint_is(
    scene: Scene, stand_in: StripeStandIn, reconcile: Reconcile
) -> None:
    await run(reconcile)
    row = await state(scene)
    assert (row.endpoint, row.endpoint_reason) == ("unknown", "POSTROOM_STRIPE__WEBHOOK_URL is not set")
    scene.settings.webhook_url = URL
    await run(reconcile)
    assert (await state(scene)).endpoint is EndpointStatus.MISSING
    made = await endpoint(scene, stand_in)
    await run(reconcile)
    assert (await state(scene)).endpoint is EndpointStatus.ENABLED
    stand_in.endpoints.disable(made)
    await run(reconcile)
    row = await state(scene)
    assert (row.endpoint, row.endpoint_reason) == ("disabled", f"own endpoint {made} is disabled")
    stand_in.endpoints.remove(made)
    await run(reconcile)
    assert (await state(scene)).endpoint is EndpointStatus.MISSING


async def test_it_learns_how_long_it_is_silent_otherwise(
    scene: Scene, stand_in: StripeStandIn, reconcile: Reconcile
) -> None:
    await run(reconcile)
    await scene.receive(paid(1, NOW))
    await run(reconcile)
    assert (await state(scene)).silence_ratio == 0, "it has not been watched for a week"
    await scene.pool.execute(
        "update postroom.stripe_reconcile set watched_at = now() - interval '8 days',"
        " last_event_at = now() - interval '30 minutes'"
    )
    assert 0.4 < (await state(scene)).silence_ratio < 0.9
    await scene.receive(paid(2, NOW))
    await run(reconcile)
    row = await state(scene)
    assert 1_700 < row.usual_gap_s < 3_000
    assert row.silence_ratio < 0.5
    await scene.pool.execute(
        "update postroom.stripe_reconcile set last_event_at = now() - interval '2 hours', usual_gap_s = 1800"
    )
    assert (await state(scene)).silence_ratio > 1.9
