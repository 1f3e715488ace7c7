"""What is wrong right now, by the names of the alerts, each with the page that says what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from postroom.base.durations import span
from postroom.channels.webhooks.receivers import Receiver
from postroom.metrics.gauges import Gauges
from postroom.outbox.model import Channel
from postroom.worker.model import JOB_NAMES, RUNNER

RUNNER_SILENT_S: Final = 300.0
JOB_STALE_S: Final = 900.0
LATE_S: Final = 300.0
TRANSACTION_OLD_S: Final = 600.0
TOKEN_DAYS_MIN: Final = 7.0
PARTITION_DAYS_MIN: Final = 3.0
NAMED_MAX: Final = 3

# As the rules of monitoring/prometheus/rules have them; a test compares.
SEVERITIES: Final[Mapping[str, str]] = {
    "JobsRunnerSilent": "critical",
    "JobStale": "warning",
    "DeliveriesLate": "warning",
    "DeliveriesParked": "warning",
    "OutboxDeadLettersGrowing": "warning",
    "StripeDeadLettersGrowing": "critical",
    "CircuitOpenLong": "critical",
    "DestinationCircuitOpenLong": "warning",
    "LedgerDrift": "critical",
    "TransactionHeldLong": "warning",
    "TokenExpiresSoon": "warning",
    "AttemptPartitionsRunOut": "warning",
}
SHARED_CIRCUITS: Final = ("email", "stripe")


@dataclass(frozen=True, slots=True)
class Condition:
    """`alert` names the alert and its page in docs/runbooks; `place` is where the console mends it."""

    alert: str
    text: str
    place: str | None = None

    @property
    def severity(self) -> str:
        """`critical` wakes somebody, `warning` does not."""
        return SEVERITIES[self.alert]


@dataclass(frozen=True, slots=True)
class Growth:
    """How many more dead letters than a quarter of an hour ago; 0 where nobody counted."""

    outbound: int = 0
    stripe: int = 0


def conditions(
    gauges: Gauges, *, now: datetime, growth: Growth, receivers: Mapping[str, Receiver]
) -> list[Condition]:
    """The thresholds of monitoring/prometheus/rules, judged on one reading; without their waiting times.

    `receivers`: those behind the breakers' names, as far as they are known.
    """
    return [
        *_jobs(gauges, now),
        *_queues(gauges, growth),
        *_circuits(gauges, receivers),
        *_vitals(gauges),
    ]


def _jobs(gauges: Gauges, now: datetime) -> Iterator[Condition]:
    beat_at = gauges.jobs[RUNNER].last_heartbeat_at
    if beat_at is None or (now - beat_at).total_seconds() > RUNNER_SILENT_S:
        silent_for = span((now - beat_at).total_seconds()) if beat_at else None
        text = f"the runner last beat {silent_for} ago" if beat_at else "the runner never beat"
        yield Condition("JobsRunnerSilent", f"Nothing is delivered: {text}.", "/console/jobs")
        return
    for job in map(gauges.jobs.__getitem__, JOB_NAMES):
        age_s = (now - job.last_success_at).total_seconds() if job.last_success_at else 0.0
        if age_s > JOB_STALE_S:
            text = f"Job {job.name} last succeeded {span(age_s)} ago."
            yield Condition("JobStale", text, "/console/jobs")
        elif job.consecutive_failures:
            text = f"Job {job.name} failed {job.consecutive_failures} times in a row."
            yield Condition("JobStale", text, "/console/jobs")


def _queues(gauges: Gauges, growth: Growth) -> Iterator[Condition]:
    for channel in Channel:
        late_s = max((q.oldest_due_s for q in gauges.queues if q.channel == channel), default=0.0)
        if late_s > LATE_S:
            text = f"The oldest due {channel} delivery is {span(late_s)} late."
            yield Condition("DeliveriesLate", text, f"/console/messages?status=pending&channel={channel}")
        parked = sum(q.parked for q in gauges.queues if q.channel == channel)
        if parked:
            text = f"{parked} {channel} deliveries wait for a person: their endpoint is parked."
            yield Condition("DeliveriesParked", text, "/console/webhooks")
    if growth.outbound > 0:
        text = f"{growth.outbound} more dead letters than a quarter of an hour ago."
        yield Condition("OutboxDeadLettersGrowing", text, "/console/dead-letters")
    if growth.stripe > 0:
        text = f"{growth.stripe} more Stripe events were given up within a quarter of an hour."
        yield Condition("StripeDeadLettersGrowing", text, "/console/dead-letters?channel=stripe")


def _circuits(gauges: Gauges, receivers: Mapping[str, Receiver]) -> Iterator[Condition]:
    """One for each breaker that many depend on, one for all of single receivers together."""
    troubled = sorted(name for name, circuit in gauges.circuits.items() if circuit.state != "closed")
    for name in troubled:
        if name in SHARED_CIRCUITS:
            circuit = gauges.circuits[name]
            held = ", held by a person" if circuit.forced else ""
            why = f": {circuit.reason}" if circuit.reason else ""
            text = f"Breaker {name} is {circuit.state.replace('_', '-')}{held}{why}."
            yield Condition("CircuitOpenLong", text, "/console/circuits")
    single = [name for name in troubled if name not in SHARED_CIRCUITS]
    if single:
        named = ", ".join(receivers[n].url if n in receivers else n for n in single[:NAMED_MAX])
        more = f" and {len(single) - NAMED_MAX} more" if len(single) > NAMED_MAX else ""
        text = f"{len(single)} {'receiver fails' if len(single) == 1 else 'receivers fail'}: {named}{more}."
        yield Condition("DestinationCircuitOpenLong", text, "/console/circuits")


def _vitals(gauges: Gauges) -> Iterator[Condition]:
    vitals = gauges.vitals
    if vitals.drift:
        yield Condition("LedgerDrift", f"The ledger does not add up: {vitals.drift} deliveries.")
    if vitals.transaction_s > TRANSACTION_OLD_S:
        text = f"A transaction has been open for {span(vitals.transaction_s)}."
        yield Condition("TransactionHeldLong", text)
    if vitals.token_days is not None and vitals.token_days < TOKEN_DAYS_MIN:
        text = f"A token expires in {span(vitals.token_days * 86_400)}."
        yield Condition("TokenExpiresSoon", text, "/console/tokens")
    if vitals.partition_days < PARTITION_DAYS_MIN:
        text = f"The attempt log has partitions for {vitals.partition_days:.0f} days only."
        yield Condition("AttemptPartitionsRunOut", text, "/console/jobs")
