"""Every metric of the contract, with every label, at 0 from the start, and moving with the ledger."""

from __future__ import annotations

from postroom.base.db import Pool, open_pool, transaction
from postroom.channels.webhooks.endpoints import create_endpoint, park
from postroom.channels.webhooks.store import mark_disabled
from postroom.metrics.families import families
from postroom.metrics.gauges import CACHE_S, COUNTED_MAX, GaugeReader, Gauges
from postroom.outbox.ledger.balance import check_ledger
from postroom.outbox.limits import LimitKey, set_limit
from postroom.outbox.model import Message
from postroom.outbox.pauses import mark_paused
from postroom.outbox.publish import publish_many
from tests.conftest import run_sql
from tests.fixtures.clock import DrivenClock
from tests.fixtures.roles import pool_as

JOBS = (
    "outbox-delivery",
    "stripe-events",
    "email-dlq",
    "email-bounces",
    "lease-rescue",
    "expiry",
    "retention",
    "canary",
    "sealing",
    "recovery",
    "stripe-reconcile",
    "stripe-load",
    "stripe-refresh",
    "stripe-access",
    "export-files",
    "schedules",
    "jobs-runner",
)
CONTRACT = {
    "job_last_heartbeat_timestamp": ("job", JOBS),
    "job_last_success_timestamp": ("job", JOBS),
    "outbox_queue_messages": ("status", ("pending", "retry", "dead")),
    "email_dlq_messages": ("status", ("retry", "dead")),
    "email_adapter_outcomes_total": (
        "status",
        ("sent", "retry", "failed", "suppressed", "unknown", "circuit_open"),
    ),
    "stripe_webhook_events_total": ("outcome", ("processed", "duplicate", "ignored", "deferred", "error")),
    "stripe_webhook_circuit_open_total": ("", ("",)),
    "circuit_state": ("circuit", ("stripe", "email")),
}

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(gauges: Gauges | None) -> Samples:
    assert gauges is not None
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families(gauges)
        for sample in family.samples
    }


def reader(pool: Pool) -> tuple[GaugeReader, DrivenClock]:
    clock = DrivenClock()
    return GaugeReader(pool=pool_as(pool, "api"), clock=clock), clock


async def test_a_fresh_database_shows_the_whole_contract_at_zero(pool: Pool) -> None:
    found = samples(await reader(pool)[0].read())
    expected = {
        (name, ((label, value),) if label else ())
        for name, (label, values) in CONTRACT.items()
        for value in values
    }
    shown = {key for key in found if key[0] in CONTRACT}
    assert expected == shown
    assert {0.0} == {found[key] for key in expected}
    assert all(key[0] in CONTRACT or key[0].startswith("postroom_") for key in found)


async def test_numbers_follow_the_ledger(pool: Pool) -> None:
    async with transaction(pool) as conn:
        await publish_many(conn, [Message(channel="email", payload={}) for _ in range(5)])
        await publish_many(
            conn, [Message(channel="stripe", payload={}), Message(channel="export", payload={})]
        )
    await pool.execute("""
        with email as (select ctid, row_number() over () as nr from postroom.delivery where channel = 'email')
        update postroom.delivery d set
            state = case when nr = 1 then 'retry' else 'pending' end, attempts = (nr = 1)::int,
            worker = case when nr = 2 then 7 end, claimed_at = case when nr = 2 then now() end,
            due_at = case when nr = 3 then 'infinity' else now() - interval '90 seconds' end
        from email where d.ctid = email.ctid""")
    await pool.execute("""
        with gone as (delete from postroom.delivery where (message_id, n) in (
            select message_id, n from postroom.delivery where channel = 'email' and state = 'pending'
                and worker is null and due_at < 'infinity' limit 1) returning *)
        insert into postroom.dead_letter
            (message_id, n, seq, channel, destination, attempts, cause, fingerprint, reason)
        select message_id, n, seq, channel, destination, 1, 'ours', 'f', 'login refused' from gone""")
    await pool.execute(
        "insert into postroom.tally select 'email_outcome', 'failed', i, i from generate_series(2, 3) i"
    )
    await pool.execute("update postroom.circuit set state = 'open', retry_at = now() where name = 'email'")
    found = samples(await reader(pool)[0].read())
    assert found["outbox_queue_messages", (("status", "pending"),)] == 4.0
    assert found["outbox_queue_messages", (("status", "retry"),)] == 1.0
    assert found["outbox_queue_messages", (("status", "dead"),)] == 1.0
    assert found["email_dlq_messages", (("status", "retry"),)] == 1.0
    assert found["email_dlq_messages", (("status", "dead"),)] == 1.0
    assert found["email_adapter_outcomes_total", (("status", "failed"),)] == 5.0
    assert found["circuit_state", (("circuit", "email"),)] == 1.0
    assert found["postroom_deliveries_parked", (("channel", "email"),)] == 1.0
    assert 90 <= found["postroom_oldest_due_age_seconds", (("channel", "email"),)] < 150
    assert found["postroom_dead_letters", (("cause", "ours"), ("channel", "email"))] == 1.0


async def test_what_people_have_set_and_what_died_of_age_is_told_by_channel(pool: Pool) -> None:
    async with transaction(pool) as conn:
        await mark_paused(conn, channel="export", reason="r", paused_by="ada")
        for destination in ("gmail.com", "web.de", "gmx.de"):
            key = LimitKey("email", destination=destination)
            await set_limit(conn, key, in_flight=1, reason="r", set_by="ada")
        await set_limit(conn, LimitKey("webhook", tenant="acme"), per_second=1.0, reason="r", set_by="ada")
        for state in ("enabled", "parked", "disabled", "disabled"):
            made = await create_endpoint(conn, tenant="acme", url="https://a.example/")
            if state == "disabled":
                await mark_disabled(conn, endpoint_id=made.endpoint.id, reason="gone")
            elif state == "parked":
                await park(conn, made.endpoint.id, reason="r")
        await conn.execute("""
            update postroom.delivery_limit set reached_at = now() - case destination
                when 'gmail.com' then interval '50 s' when 'web.de' then interval '70 s' end""")
        await conn.execute("""
            insert into postroom.tally select 'expired', channel, i, 10 * n + i
            from unnest(array['email', 'webhook', 'export']) with ordinality t(channel, n),
                generate_series(1, 2) i""")
    found = samples(await reader(pool)[0].read())

    def of(name: str, **labels: str) -> dict[str, float]:
        """Those that are not 0, by channel."""
        return {
            dict(key)["channel"]: value
            for (shown, key), value in found.items()
            if shown == name and labels.items() <= dict(key).items() and value
        }

    assert of("postroom_channel_paused") == {"export": 1.0}
    assert of("postroom_limits", state="set") == {"email": 3.0, "webhook": 1.0}
    assert of("postroom_limits", state="reached") == {"email": 1.0}
    assert of("postroom_deliveries_expired_total") == {"email": 23.0, "webhook": 43.0, "export": 63.0}
    assert found["postroom_endpoints_disabled", ()] == 2.0


async def test_each_urgency_is_counted_and_bulk_is_never_late(pool: Pool) -> None:
    for urgency, minutes in (("urgent", 1), ("normal", 2), ("bulk", 90)):
        await pool.execute("select postroom.publish('email', '{}', urgency => $1)", urgency)
        await pool.execute(
            "update postroom.delivery set due_at = now() - make_interval(mins => $1)"
            " where due_at > now() - interval '1 s'",
            minutes,
        )
    await pool.execute(
        "update postroom.delivery set state = 'retry_urgent', attempts = 1 where state = 'pending_urgent'"
    )
    found = samples(await reader(pool)[0].read())
    assert found["postroom_deliveries", (("channel", "email"), ("status", "pending"))] == 2.0
    assert found["postroom_deliveries", (("channel", "email"), ("status", "retry"))] == 1.0
    for urgency in ("urgent", "normal", "bulk"):
        assert found["postroom_urgency_deliveries", (("channel", "email"), ("urgency", urgency))] == 1.0
    assert 120 <= found["postroom_oldest_due_age_seconds", (("channel", "email"),)] < 180
    bulk = (("channel", "email"), ("urgency", "bulk"))
    assert found["postroom_urgency_oldest_due_age_seconds", bulk] >= 5_400


async def test_large_counts_are_the_canarys_and_small_ones_are_counted(pool: Pool) -> None:
    count = COUNTED_MAX + 50
    async with transaction(pool) as conn:
        await publish_many(conn, [Message(channel="email", payload={}) for _ in range(count)])
    waiting = ("postroom_deliveries", (("channel", "email"), ("status", "pending")))
    dead = ("postroom_dead_letters", (("cause", "ours"), ("channel", "email")))
    gauges, clock = reader(pool)

    async def seen() -> tuple[float, float]:
        clock.advance(CACHE_S)
        found = samples(await gauges.read())
        return found[waiting], found[dead]

    assert await seen() == (COUNTED_MAX, 0), "before the canary has counted: no more than is known"
    await check_ledger(pool)
    assert await seen() == (count, 0)
    await pool.execute("""
        with gone as (delete from postroom.delivery returning *)
        insert into postroom.dead_letter
            (message_id, n, seq, channel, destination, attempts, cause, fingerprint, reason)
        select message_id, n, seq, channel, destination, 1, 'ours', 'f', 'login refused' from gone""")
    assert await seen() == (0, COUNTED_MAX), "what is little is counted, whatever the canary said"
    await check_ledger(pool)
    assert await seen() == (0, count)
    assert await pool.fetchval("select count(*) from postroom.ledger_count where kind = 'waiting'") == 0


async def test_a_beating_runner_counts_as_a_success(pool: Pool) -> None:
    await pool.execute("insert into postroom.job (name, beat_at) values ('jobs-runner', now())")
    found = samples(await reader(pool)[0].read())
    beat = found["job_last_heartbeat_timestamp", (("job", "jobs-runner"),)]
    assert beat > 1_700_000_000
    assert beat == found["job_last_success_timestamp", (("job", "jobs-runner"),)]


async def test_a_schedule_is_behind_until_it_is_paused_and_only_so_many_have_a_name(pool: Pool) -> None:
    """A runner looked at the last of 60 an hour ago, at the others a minute ago."""
    name = "postroom_schedule_behind_seconds"
    gauges, clock = reader(pool)
    found = samples(await gauges.read())
    assert {key: value for key, value in found.items() if key[0] == name} == {
        (name, (("schedule", "other"),)): 0.0
    }
    await pool.execute("""
        insert into postroom.schedule (name, last_at)
        select 's' || lpad(n::text, 2, '0'), now() - case n when 60 then 60 else 1 end * interval '1 minute'
        from generate_series(1, 60) n""")
    clock.advance(CACHE_S)
    found = samples(await gauges.read())
    shown = {key[1][0][1]: value for key, value in found.items() if key[0] == name}
    assert len(shown) == 51
    assert 60 <= shown["s50"] < 120
    assert 3_600 <= shown["other"] < 3_660
    await pool.execute("update postroom.schedule set paused_at = now(), paused_by = 'ada' where name = 's60'")
    clock.advance(CACHE_S)
    assert 60 <= samples(await gauges.read())[name, (("schedule", "other"),)] < 120


async def test_a_reading_is_kept_for_two_seconds(pool: Pool) -> None:
    gauges, clock = reader(pool)
    first = await gauges.read()
    assert first is await gauges.read()
    clock.advance(CACHE_S)
    assert first is not await gauges.read()


async def test_no_old_number_is_shown_while_the_database_is_away(server_dsn: str, dsn: str) -> None:
    pool = await open_pool(dsn)
    gauges, clock = reader(pool)
    assert await gauges.read() is not None
    name = dsn.rsplit("/", 1)[1]
    ending = f"select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = '{name}'"
    await run_sql(server_dsn, ending)
    await run_sql(server_dsn, f'alter database "{name}" rename to "{name}_away"')
    clock.advance(CACHE_S)
    assert await gauges.read() is None
    await run_sql(server_dsn, f'alter database "{name}_away" rename to "{name}"')
    clock.advance(CACHE_S)
    assert await gauges.read() is not None
    pool.terminate()
