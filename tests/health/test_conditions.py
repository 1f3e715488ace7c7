"""What the console calls wrong, and how bad: as the alert rules of the same names have it."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import pytest
import yaml

from postroom.base.db import Pool
from postroom.base.migrate import migrate
from postroom.channels.stripe.drift import WATCHED_MIN_S, Drift, EndpointStatus
from postroom.health import thresholds
from postroom.health.conditions import SEVERITIES, Condition, Growth, conditions
from postroom.metrics.failing import Failing
from postroom.metrics.gauges import Gauges, QueueDepth, read_gauges
from postroom.metrics.roles import Privilege, Process, RoleExcess
from postroom.outbox.limits import LimitStatus
from postroom.outbox.model import Channel
from postroom.outbox.pauses import ChannelStatus
from postroom.resilience.breaker import CircuitState
from postroom.worker.model import JOB_NAMES, RUNNER, JobStatus
from tests.monitoring.promtool import RULES

NOW: Final = datetime.now(UTC)

THRESHOLDS: Final = {
    "JobsRunnerSilent": "RUNNER_SILENT_S",
    "JobStale": "JOB_STALE_S",
    "ScheduleStale": "SCHEDULE_STALE_S",
    "DeliveriesLate": "LATE_S",
    "TransactionHeldLong": "TRANSACTION_OLD_S",
    "TokenExpiresSoon": "TOKEN_DAYS_MIN",
    "CertificateExpiresSoon": "CERTIFICATE_DAYS_MIN",
    "AttemptPartitionsRunOut": "PARTITION_DAYS_MIN",
    "DiskNearlyFull": "DISK_FREE_MIN",
    "StripeReconcileBehind": "STRIPE_BEHIND_S",
    "StripeSilent": "STRIPE_SILENCE_RATIO",
}
"""The alert of each threshold; those of other conditions fire above 0."""


def rules() -> dict[str, list[dict[str, Any]]]:
    """Every alert rule, by name."""
    found: dict[str, list[dict[str, Any]]] = {}
    for path in RULES:
        for group in yaml.safe_load(path.read_text())["groups"]:
            for rule in group["rules"]:
                found.setdefault(rule.get("alert", ""), []).append(rule)
    return found


@pytest.mark.parametrize("alert", SEVERITIES)
def test_a_condition_is_as_bad_as_its_alert(alert: str) -> None:
    assert {rule["labels"]["severity"] for rule in rules()[alert]} == {SEVERITIES[alert]}


@pytest.mark.parametrize("alert", sorted({*SEVERITIES, *THRESHOLDS}))
def test_a_condition_begins_where_its_alert_does(alert: str) -> None:
    [rule] = rules()[alert]
    limit = re.search(r"[<>] ([\d.]+(?: \* [\d.]+)*)$", rule["expr"].strip())
    assert limit is not None, rule["expr"]
    threshold = vars(thresholds)[THRESHOLDS[alert]] if alert in THRESHOLDS else 0.0
    assert math.prod(float(n) for n in limit[1].split(" * ")) == threshold


def test_every_threshold_is_held_to_its_alert() -> None:
    assert {name for name in vars(thresholds) if name.isupper()} == set(THRESHOLDS.values())


@pytest.fixture
async def well(pool: Pool, dsn: str) -> Gauges:
    """A reading in which nothing is wrong."""
    await migrate(dsn)
    async with pool.acquire() as conn:
        gauges = await read_gauges(conn)
    jobs = {
        name: JobStatus(name, last_heartbeat_at=NOW, last_success_at=NOW) for name in (RUNNER, *JOB_NAMES)
    }
    return replace(gauges, jobs=jobs, role_excess=())


def told(gauges: Gauges, growth: Growth | None = None) -> list[Condition]:
    return conditions(gauges, now=NOW, growth=growth or Growth(), receivers={})


def drifted(account: str = "self") -> Drift:
    """All that can be wrong with an account."""
    return Drift(
        account=account,
        live=True,
        began_at=NOW,
        cursor_at=NOW,
        run_at=NOW,
        missed=3,
        missed_at=NOW,
        endpoint=EndpointStatus.DISABLED,
        endpoint_reason="own endpoint we_1 is disabled",
        last_event_at=NOW,
        usual_gap_s=7_200.0,
        behind_s=86_401.0,
        missed_ago_s=10.0,
        silent_s=14_401.0,
        watched_s=WATCHED_MIN_S,
    )


async def test_of_a_further_account_the_commands_name_it(well: Gauges) -> None:
    found = {each.alert: each for each in told(replace(well, stripe=(drifted("eu"),)))}
    assert found["StripeEndpointDisabled"].command == "postroom stripe setup --account eu"
    assert (
        found["StripeEndpointDisabled"].text == "Stripe sends nothing of eu: own endpoint we_1 is disabled."
    )
    assert found["StripeEventsMissed"].command == "postroom stripe setup --account eu --dry-run"
    assert {each.subject for each in found.values()} == {"stripe eu"}
    calm = replace(
        drifted(),
        endpoint=EndpointStatus.UNKNOWN,
        behind_s=86_400.0,
        missed_ago_s=900.0,
        silent_s=14_400.0,
    )
    assert told(replace(well, stripe=(calm,))) == []


async def test_every_condition_has_its_severity_and_nothing_is_told_of_what_is_well(well: Gauges) -> None:
    assert told(well) == []
    circuits = {
        name: replace(well.circuits["stripe"], name=name, state=CircuitState.OPEN)
        for name in ("stripe", "webhook:a")
    }
    failing = Failing(Channel.STRIPE, "f", "handler receipt: KeyError", 2, 4, UUID(int=7))
    depth = QueueDepth(Channel.WEBHOOK, "pending", 1, timeless=1, oldest_due_s=301.0)
    old = NOW - timedelta(minutes=16)
    bad = replace(
        well,
        queues=(depth,),
        failing=(failing,),
        circuits=circuits,
        paused={"export": ChannelStatus("export", True, "moved", "ada", NOW)},
        role_excess=(RoleExcess(Process.API, "root", (Privilege.SUPERUSER,)),),
        stripe=(drifted(),),
        jobs={**well.jobs, "retention": replace(well.jobs["retention"], last_success_at=old)},
        schedules={"a": 901.0, "b": 900.0, "c": 1_200.0},
        vitals=replace(
            well.vitals,
            drift=1,
            transaction_s=601.0,
            standbys=1,
            token_days=6.0,
            partition_days=2.0,
            endpoints_disabled=1,
        ),
    )
    found = told(bad, Growth(outbound=1, stripe=1))
    silent = told(replace(bad, jobs={**well.jobs, RUNNER: JobStatus(RUNNER)}))
    assert {c.alert for c in (*found, *silent)} == set(SEVERITIES)
    [stale] = [c for c in found if c.alert == "ScheduleStale"]
    assert stale.text == "No runner has published what is due of a, c for 20 min."
    [again] = [c for c in found if c.alert == "DeliveriesFailing"]
    assert again.command == f"postroom deliver-now {UUID(int=7)}"
    assert again.text == "2 stripe deliveries fail again and again (4 attempts): handler receipt: KeyError"


async def test_of_what_is_late_behind_a_limit_the_limit_is_named(well: Gauges) -> None:
    queues = (QueueDepth("email", "pending", 20, 0, 400.0),)
    limit = LimitStatus("email", "acme", None, 50.0, 5, 5, True, NOW, "agreed", "ada", NOW)
    [found] = told(replace(well, queues=queues, limits=(limit,)))
    assert (found.alert, found.command) == ("DeliveriesLate", "postroom limit list")
    assert found.text.endswith("(50 a second, 5 in flight, tenant acme): ada set it: agreed")
    [found] = told(replace(well, queues=queues, limits=(replace(limit, reached=False),)))
    assert found.command == "postroom work --job outbox-delivery --once"


async def test_what_waits_for_a_paused_channel_is_not_called_late(well: Gauges) -> None:
    depth = QueueDepth(Channel.EMAIL, "pending", 1, timeless=0, oldest_due_s=301.0)
    paused = {"email": ChannelStatus("email", True, "wrong template", "ada", NOW)}
    [found] = told(replace(well, queues=(depth,), paused=paused))
    assert (found.alert, found.command) == ("ChannelPausedLong", "postroom channel resume email")
    assert found.text == "Nothing of email goes out: ada paused it: wrong template"


async def test_of_many_faults_the_most_frequent_are_named(well: Gauges) -> None:
    faults = [Failing(Channel.EMAIL, f"f{n}", f"fault {n}", 9 - n, 3, UUID(int=n)) for n in range(5)]
    found = told(replace(well, failing=tuple(faults)))
    assert [c.text[-7:] for c in found] == ["fault 0", "fault 1", "fault 2"]
