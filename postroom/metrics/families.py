"""The metrics that PostgreSQL answers for: names and labels are the contract with every alert.

Labels hold enumerations only, and every value is there from the start, at 0. But those of
schedules and tasks are their names, up to a number of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import accumulate, product
from typing import Final, TypeVar

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.utils import floatToGoString

from postroom.channels.email.events.intake import TALLY
from postroom.channels.email.events.model import SOFT_BOUNCED, UNMATCHED, Kind, Provider
from postroom.channels.stripe.drift import EndpointStatus
from postroom.channels.tasks.counts import BUCKETS_S, read_counts
from postroom.metrics.gauges import Gauges
from postroom.metrics.roles import Privilege, Process
from postroom.outbox.lanes import Urgency
from postroom.outbox.model import OUTBOUND, Cause, Channel, Wait
from postroom.worker.model import JOB_NAMES, RUNNER

EMAIL_OUTCOMES: Final = ("sent", "retry", "failed", "suppressed", "unknown", "circuit_open")
STRIPE_OUTCOMES: Final = ("processed", "duplicate", "ignored", "deferred", "error")
ATTEMPT_OUTCOMES: Final = (
    *("delivered", "retry", "rejected", "unknown", "suppressed", "abandoned"),
    *(wait.value for wait in Wait),
)
ENDS: Final = ("delivered", "cancelled")
STATES: Final = ("pending", "retry")
CIRCUITS: Final = ("stripe", "email")

Labels = TypeVar("Labels", bound=tuple[str, ...])


def families(gauges: Gauges) -> Iterator[Metric]:
    """Everything of one reading, contract first."""
    yield from _jobs(gauges)
    yield from _contract_queues(gauges)
    yield from _contract_outcomes(gauges)
    yield from _drift(gauges)
    yield from _queues(gauges)
    yield from _ledger(gauges)
    yield from _tasks(gauges)
    yield from _vitals(gauges)


def _jobs(gauges: Gauges) -> Iterator[Metric]:
    known = {name: gauges.jobs[name] for name in (RUNNER, *JOB_NAMES)}
    beats = {(name,): _unix_s(job.last_heartbeat_at) for name, job in known.items()}
    successes = {(name,): _unix_s(job.last_success_at) for name, job in known.items()}
    failures = {(name,): float(job.consecutive_failures) for name, job in known.items()}
    # The runner has no runs of its own: each round it beats for is a success.
    successes[(RUNNER,)] = max(successes[(RUNNER,)], beats[(RUNNER,)])
    yield _gauge("job_last_heartbeat_timestamp", "Unix time of a job's last heartbeat.", ["job"], beats)
    yield _gauge(
        "job_last_success_timestamp", "Unix time of a job's last success, 0 for never.", ["job"], successes
    )
    yield _gauge("postroom_job_consecutive_failures", "Failures since the last success.", ["job"], failures)
    yield _gauge(
        "postroom_schedule_behind_seconds",
        "How long ago what was due of a schedule was last published, unless it is paused; of those beyond "
        "the first 50 by name the furthest, as other.",
        ["schedule"],
        {(name,): behind_s for name, behind_s in gauges.schedules.items()},
    )


def _contract_queues(gauges: Gauges) -> Iterator[Metric]:
    outbound = {channel.value for channel in OUTBOUND}
    queue = {(s,): float(_depth(gauges, s, outbound)) for s in STATES}
    queue[("dead",)] = float(sum(n for (c, _), n in gauges.dead_letters.items() if c in outbound))
    email = {
        ("retry",): float(_depth(gauges, "retry", {Channel.EMAIL})),
        ("dead",): float(sum(n for (c, _), n in gauges.dead_letters.items() if c == Channel.EMAIL)),
    }
    yield _gauge("outbox_queue_messages", "Outbound deliveries that have not ended well.", ["status"], queue)
    yield _gauge("email_dlq_messages", "Emails in retry and in the dead-letter queue.", ["status"], email)


def _contract_outcomes(gauges: Gauges) -> Iterator[Metric]:
    yield _counter(
        "email_adapter_outcomes",
        "Attempts to send an email, by outcome.",
        ["status"],
        _tally(gauges, "email_outcome", EMAIL_OUTCOMES),
    )
    yield _counter(
        "stripe_webhook_events",
        "Stripe events, by outcome; error is a refused signature or an attempt that failed.",
        ["outcome"],
        _tally(gauges, "stripe_outcome", STRIPE_OUTCOMES),
    )
    told = {
        (provider.value, kind): float(gauges.tallies.get((TALLY, f"{provider} {kind}"), 0))
        for provider, kind in product(Provider, (*Kind, SOFT_BOUNCED, UNMATCHED))
    }
    yield _counter(
        "postroom_email_events",
        "What providers told of mails, each event once; soft_bounced leaves the address good, unmatched is "
        "of no mail that is in the ledger.",
        ["provider", "kind"],
        told,
    )
    opened = float(gauges.tallies.get(("circuit_open", "stripe"), 0))
    yield _counter("stripe_webhook_circuit_open", "Openings of the breaker stripe.", [], {(): opened})
    states = {
        (name,): gauges.circuits[name].state.gauge if name in gauges.circuits else 0.0 for name in CIRCUITS
    }
    yield _gauge("circuit_state", "0 closed, 0.5 half-open, 1 open.", ["circuit"], states)


def _drift(gauges: Gauges) -> Iterator[Metric]:
    accounts = gauges.stripe
    yield _counter(
        "postroom_stripe_events_missed",
        "Events that Stripe lists and no webhook had brought; they were taken in.",
        [],
        {(): float(sum(each.missed for each in accounts))},
    )
    yield _gauge(
        "postroom_stripe_endpoints",
        "Accounts by what Stripe says of the endpoints that lead here.",
        ["status"],
        {(s.value,): float(sum(each.endpoint is s for each in accounts)) for s in EndpointStatus},
    )
    behind = max((each.behind_s or 0.0 for each in accounts), default=0.0)
    yield _gauge(
        "postroom_stripe_reconcile_behind_seconds",
        "Age of the cursor up to which events were compared with Stripe, of the account furthest behind.",
        [],
        {(): behind},
    )
    yield _gauge(
        "postroom_stripe_silence_ratio",
        "How long no event came, in parts of what is still usual for the account; above 1 is unusual.",
        [],
        {(): max((each.silence_ratio for each in accounts), default=0.0)},
    )


def _queues(gauges: Gauges) -> Iterator[Metric]:
    depths = {(c.value, s): float(_depth(gauges, s, {c})) for c, s in product(Channel, STATES)}
    yield _gauge("postroom_deliveries", "Deliveries that have not ended.", ["channel", "status"], depths)
    parked = {(c.value,): float(sum(q.parked for q in gauges.queues if q.channel == c)) for c in Channel}
    yield _gauge("postroom_deliveries_parked", "Deliveries that wait for a person.", ["channel"], parked)
    awaiting = {(): float(sum(q.awaiting_batch for q in gauges.queues))}
    yield _gauge("postroom_tasks_awaiting_batch", "Tasks that wait for the end of their batch.", [], awaiting)
    disabled = {(): float(gauges.vitals.endpoints_disabled)}
    yield _gauge("postroom_endpoints_disabled", "Webhook endpoints that get nothing any more.", [], disabled)
    paused = {(c.value,): float(c in gauges.paused) for c in Channel}
    yield _gauge("postroom_channel_paused", "1 while a person has paused a channel.", ["channel"], paused)
    yield _gauge(
        "postroom_limits",
        "Limits that are set, and those for which something has waited within the last minute.",
        ["channel", "state"],
        {
            (c.value, state): float(sum(each.channel == c and held for each, held in chosen))
            for state, chosen in (
                ("set", [(each, True) for each in gauges.limits]),
                ("reached", [(each, each.reached) for each in gauges.limits]),
            )
            for c in Channel
        },
    )
    failing = {(c.value,): float(sum(f.count for f in gauges.failing if f.channel == c)) for c in Channel}
    yield _gauge(
        "postroom_deliveries_failing",
        "Deliveries that failed 3 times or more and are tried again, counted up to 1,000.",
        ["channel"],
        failing,
    )
    oldest = {
        (c.value,): max((q.late_s for q in gauges.queues if q.channel == c), default=0.0) for c in Channel
    }
    yield _gauge(
        "postroom_oldest_due_age_seconds",
        "How late the oldest due delivery is, those of urgency bulk excepted.",
        ["channel"],
        oldest,
    )
    yield from _urgencies(gauges)
    dead = {(c.value, k.value): float(gauges.dead_letters.get((c, k), 0)) for c, k in product(Channel, Cause)}
    yield _gauge(
        "postroom_dead_letters",
        "Dead letters, by cause; each counted up to 100,000.",
        ["channel", "cause"],
        dead,
    )
    open_others = float(sum(1 for name in gauges.circuits if name not in CIRCUITS))
    yield _gauge(
        "postroom_destination_circuits_open",
        "Breakers of single destinations that are not closed.",
        [],
        {(): open_others},
    )


def _urgencies(gauges: Gauges) -> Iterator[Metric]:
    labels = ["channel", "urgency"]
    lanes = {
        (c.value, u.value): [q for q in gauges.queues if (q.channel, q.urgency) == (c, u)]
        for c, u in product(Channel, Urgency)
    }
    waiting = {key: float(sum(q.waiting for q in lane)) for key, lane in lanes.items()}
    oldest = {key: max((q.oldest_due_s for q in lane), default=0.0) for key, lane in lanes.items()}
    yield _gauge("postroom_urgency_deliveries", "Deliveries that wait, by urgency.", labels, waiting)
    yield _gauge(
        "postroom_urgency_oldest_due_age_seconds",
        "How long the oldest due delivery of an urgency has been due.",
        labels,
        oldest,
    )


def _ledger(gauges: Gauges) -> Iterator[Metric]:
    outcomes = {
        (c.value, o): float(gauges.tallies.get(("outcome", f"{c}/{o}"), 0))
        for c, o in product(Channel, ATTEMPT_OUTCOMES)
    }
    yield _counter(
        "postroom_attempts",
        "Attempts, and deferrals, which spend none, by outcome.",
        ["channel", "outcome"],
        outcomes,
    )
    ended = {
        (c.value, e): float(gauges.tallies.get(("ended", f"{c}/{e}"), 0)) for c, e in product(Channel, ENDS)
    }
    yield _counter("postroom_ledger_ended", "Deliveries that ended, by how.", ["channel", "end"], ended)
    expired = {(c.value,): float(gauges.tallies.get(("expired", c), 0)) for c in OUTBOUND}
    yield _counter(
        "postroom_deliveries_expired", "Deliveries that died of age, undelivered.", ["channel"], expired
    )
    yield _counter(
        "postroom_ledger_published",
        "Deliveries published, as the canary last counted them.",
        [],
        {(): float(gauges.vitals.published)},
    )
    yield _counter(
        "postroom_ledger_no_receiver",
        "Messages that nobody listened to, as the canary last counted them.",
        ["channel"],
        {(Channel.WEBHOOK.value,): float(gauges.vitals.no_receiver)},
    )


def _tasks(gauges: Gauges) -> Iterator[Metric]:
    counts = read_counts(gauges.tallies)
    yield _counter(
        "postroom_task_attempts",
        "Attempts at tasks, by how they ended; those beyond the first 50 by name as other.",
        ["task", "outcome"],
        {(name, what): float(n) for name, task in counts.items() for what, n in task.attempts.items()},
    )
    took = HistogramMetricFamily(
        "postroom_task_seconds", "How long an attempt at a task took.", labels=["task"]
    )
    for name, task in counts.items():
        buckets = zip(map(floatToGoString, BUCKETS_S), accumulate(task.buckets), strict=True)
        took.add_metric([name], list(buckets), task.took_ms / 1_000)
    yield took


def _vitals(gauges: Gauges) -> Iterator[Metric]:
    vitals = gauges.vitals
    days = float("inf") if vitals.token_days is None else vitals.token_days
    for name, text, value in (
        (
            "postroom_longest_transaction_seconds",
            "Age of the oldest open transaction but for vacuum; of other roles only with pg_read_all_stats.",
            vitals.transaction_s,
        ),
        (
            "postroom_ledger_drift",
            "Published minus what is accounted for; not 0 is a fault.",
            float(vitals.drift),
        ),
        ("postroom_ledger_checked_timestamp", "Unix time of the canary's last check.", vitals.checked_s),
        (
            "postroom_replication_asynchronous",
            "1 where a standby may lack what was acknowledged, so that a fail-over would lose it.",
            float(gauges.loses_commits),
        ),
        ("postroom_workers", "Workers whose heartbeat is fresh.", float(vitals.workers)),
        ("postroom_database_size_bytes", "Size of the database.", float(vitals.database_bytes)),
        ("postroom_token_expiry_days", "Days until the next access token ends; +Inf for never.", days),
        (
            "postroom_attempt_partition_days",
            "Days ahead for which the attempt log has partitions.",
            vitals.partition_days,
        ),
    ):
        yield _gauge(name, text, [], {(): value})
    excess = {
        (process.value, privilege.value): float(
            any(e.process is process and privilege in e.privileges for e in gauges.role_excess)
        )
        for process, privilege in product(Process, Privilege)
    }
    yield _gauge(
        "postroom_database_role_excess",
        "1 where a process signs in to the database with a privilege that it does not need.",
        ["process", "privilege"],
        excess,
    )


def _unix_s(at: datetime | None) -> float:
    return at.timestamp() if at else 0.0


def _depth(gauges: Gauges, state: str, channels: Iterable[str]) -> int:
    wanted = frozenset(channels)
    return sum(q.waiting + q.timeless for q in gauges.queues if q.state == state and q.channel in wanted)


def _tally(gauges: Gauges, name: str, labels: Iterable[str]) -> dict[tuple[str], float]:
    return {(label,): float(gauges.tallies.get((name, label), 0)) for label in labels}


def _gauge(name: str, text: str, labels: list[str], samples: Mapping[Labels, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, number in samples.items():
        family.add_metric(list(values), number)
    return family


def _counter(name: str, text: str, labels: list[str], samples: Mapping[Labels, float]) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for values, number in samples.items():
        family.add_metric(list(values), number)
    return family
