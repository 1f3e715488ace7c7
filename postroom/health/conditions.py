"""What is wrong right now, by the names of the alerts: one judgement for the console and the doctor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Final
from urllib.parse import quote

from postroom.base.durations import span
from postroom.base.stripe_account import OWN_ACCOUNT
from postroom.channels.stripe.drift import Drift, EndpointStatus
from postroom.channels.webhooks.receivers import Receiver
from postroom.health.thresholds import (
    JOB_STALE_S,
    LATE_S,
    PARTITION_DAYS_MIN,
    RUNNER_SILENT_S,
    SCHEDULE_STALE_S,
    STRIPE_BEHIND_S,
    STRIPE_SILENCE_RATIO,
    TOKEN_DAYS_MIN,
    TRANSACTION_OLD_S,
)
from postroom.metrics.gauges import Gauges
from postroom.outbox.limits import LimitStatus
from postroom.outbox.model import Channel
from postroom.worker.model import JOB_NAMES, RUNNER

NAMED_MAX: Final = 3
MISSED_S: Final = 900.0
"""As long as the alert looks back."""

# As the rules of monitoring/prometheus/rules have them; a test compares.
SEVERITIES: Final[Mapping[str, str]] = {
    "JobsRunnerSilent": "critical",
    "JobStale": "warning",
    "ScheduleStale": "warning",
    "DeliveriesFailing": "warning",
    "DeliveriesLate": "warning",
    "DeliveriesParked": "warning",
    "EndpointDisabled": "warning",
    "ChannelPausedLong": "warning",
    "OutboxDeadLettersGrowing": "warning",
    "StripeDeadLettersGrowing": "critical",
    "StripeEndpointDisabled": "critical",
    "StripeReconcileBehind": "critical",
    "StripeEventsMissed": "warning",
    "StripeSilent": "warning",
    "CircuitOpenLong": "critical",
    "DestinationCircuitOpenLong": "warning",
    "LedgerDrift": "critical",
    "TransactionHeldLong": "warning",
    "ReplicationNotSynchronous": "warning",
    "TokenExpiresSoon": "warning",
    "AttemptPartitionsRunOut": "warning",
    "DatabaseRoleExcessive": "warning",
}
SHOW_STANDBYS: Final = 'psql "$POSTROOM_DATABASE_URL" -c "table pg_stat_replication"'
SHARED_CIRCUITS: Final = ("email", "stripe")


@dataclass(frozen=True, slots=True)
class Condition:
    """`alert` names the alert and its page in docs/runbooks; `subject` is what it is about.

    `command` mends it or shows more, at a shell; `place` does in the console.
    """

    alert: str
    subject: str
    text: str
    command: str
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
        *_failing(gauges),
        *_queues(gauges),
        *_dead_letters(growth),
        *_circuits(gauges, receivers),
        *(condition for each in gauges.stripe for condition in _drift(each)),
        *_vitals(gauges),
        *(
            Condition("DatabaseRoleExcessive", "database roles", each.text, "postroom migrate --roles")
            for each in gauges.role_excess
        ),
    ]


def release_command(circuit: str) -> str:
    """Closes a breaker, whether it opened by itself or is held by a person.

    `circuit` may be a host of somebody else's, so it is quoted for address and shell.
    """
    return (
        'curl -fsS -X POST -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json"'
        ' -d \'{"action": "release", "reason": "mended"}\''
        f' "$POSTROOM/v1/admin/circuits/{quote(circuit, safe=":")}"'
    )


def _jobs(gauges: Gauges, now: datetime) -> Iterator[Condition]:
    beat_at = gauges.jobs[RUNNER].last_heartbeat_at
    if beat_at is None or (now - beat_at).total_seconds() > RUNNER_SILENT_S:
        silent_for = span((now - beat_at).total_seconds()) if beat_at else None
        text = f"the runner last beat {silent_for} ago" if beat_at else "the runner never beat"
        yield Condition(
            "JobsRunnerSilent", RUNNER, f"Nothing is delivered: {text}.", "postroom work", "/console/jobs"
        )
        return
    for job in map(gauges.jobs.__getitem__, JOB_NAMES):
        age_s = (now - job.last_success_at).total_seconds() if job.last_success_at else 0.0
        if age_s > JOB_STALE_S:
            text = f"Job {job.name} last succeeded {span(age_s)} ago."
        elif job.consecutive_failures:
            text = f"Job {job.name} failed {job.consecutive_failures} times in a row."
        else:
            continue
        command = f"postroom work --job {job.name} --once"
        yield Condition("JobStale", f"job {job.name}", text, command, "/console/jobs")
    behind = {name: age_s for name, age_s in sorted(gauges.schedules.items()) if age_s > SCHEDULE_STALE_S}
    if behind:
        named = ", ".join(islice(behind, NAMED_MAX))
        more = f" and {len(behind) - NAMED_MAX} more" if len(behind) > NAMED_MAX else ""
        text = f"No runner has published what is due of {named}{more} for {span(max(behind.values()))}."
        yield Condition("ScheduleStale", "schedules", text, "postroom schedule list", "/console/tasks")


def _failing(gauges: Gauges) -> Iterator[Condition]:
    """One for each of the most frequent faults of a channel."""
    for channel in Channel:
        faults = [each for each in gauges.failing if each.channel == channel]
        for fault in faults[:NAMED_MAX]:
            who = f"{fault.count} {channel} {'delivery fails' if fault.count == 1 else 'deliveries fail'}"
            yield Condition(
                "DeliveriesFailing",
                f"channel {channel}",
                f"{who} again and again ({fault.attempts} attempts): {fault.reason}",
                f"postroom deliver-now {fault.message_id}",
                f"/console/messages?status=retry&channel={channel}",
            )


def _queues(gauges: Gauges) -> Iterator[Condition]:
    for channel in Channel:
        late_s = max((q.late_s for q in gauges.queues if q.channel == channel), default=0.0)
        pause = gauges.paused.get(channel)
        if pause is not None:
            yield Condition(
                "ChannelPausedLong",
                f"channel {channel}",
                f"Nothing of {channel} goes out: {pause.paused_by} paused it: {pause.reason}",
                f"postroom channel resume {channel}",
                "/console/channels",
            )
        elif late_s > LATE_S and (limit := _reached(gauges, channel)) is not None:
            yield Condition(
                "DeliveriesLate",
                f"channel {channel}",
                f"The oldest due {channel} delivery is {span(late_s)} late. A limit is used up "
                f"({limit.most}, {limit.scope}): {limit.set_by} set it: {limit.reason}",
                "postroom limit list",
                "/console/channels",
            )
        elif late_s > LATE_S:
            yield Condition(
                "DeliveriesLate",
                f"channel {channel}",
                f"The oldest due {channel} delivery is {span(late_s)} late.",
                f"postroom work --job {_job_of(channel)} --once",
                f"/console/messages?status=pending&channel={channel}",
            )
        parked = sum(q.parked for q in gauges.queues if q.channel == channel)
        if parked:
            text = f"{parked} {channel} deliveries wait for a person: their endpoint is parked or disabled."
            yield Condition(
                "DeliveriesParked", "endpoints", text, "postroom endpoint list", "/console/webhooks"
            )

    if disabled := gauges.vitals.endpoints_disabled:
        text = (
            f"{disabled} {'endpoint is' if disabled == 1 else 'endpoints are'} disabled: nothing is queued."
        )
        yield Condition("EndpointDisabled", "endpoints", text, "postroom endpoint list", "/console/webhooks")


def _job_of(channel: Channel) -> str:
    return "stripe-events" if channel is Channel.STRIPE else "outbox-delivery"


def _dead_letters(growth: Growth) -> Iterator[Condition]:
    if growth.outbound > 0:
        yield Condition(
            "OutboxDeadLettersGrowing",
            "dead letters",
            f"{growth.outbound} more dead letters than a quarter of an hour ago.",
            "postroom dead-letter list --since 1h --grouped",
            "/console/dead-letters",
        )
    if growth.stripe > 0:
        yield Condition(
            "StripeDeadLettersGrowing",
            "dead letters",
            f"{growth.stripe} more Stripe events were given up within a quarter of an hour.",
            "postroom dead-letter list --channel stripe --since 1h --grouped",
            "/console/dead-letters?channel=stripe",
        )


def _drift(account: Drift) -> Iterator[Condition]:
    """Of one account of Stripe."""
    named = account.account != OWN_ACCOUNT
    subject = f"stripe {account.account}" if named else "stripe"
    option, whose = (f" --account {account.account}", f" of {account.account}") if named else ("", "")
    if account.endpoint in (EndpointStatus.DISABLED, EndpointStatus.MISSING):
        text = f"Stripe sends nothing{whose}: {account.endpoint_reason}."
        command = f"postroom stripe setup{option}"
        yield Condition("StripeEndpointDisabled", subject, text, command, "/console/stripe")
    if account.behind_s is not None and account.behind_s > STRIPE_BEHIND_S:
        text = (
            f"Events{whose} were last compared with Stripe as of {span(account.behind_s)} ago; "
            "it lists those of 30 days."
        )
        command = "postroom jobs run stripe-reconcile"
        yield Condition("StripeReconcileBehind", subject, text, command, "/console/stripe")
    if account.missed_ago_s is not None and account.missed_ago_s < MISSED_S:
        text = (
            f"Stripe had events{whose} that no webhook brought, the last found {span(account.missed_ago_s)} "
            f"ago ({account.missed} so far). They were taken in."
        )
        command = f"postroom stripe setup{option} --dry-run"
        yield Condition("StripeEventsMissed", subject, text, command, "/console/stripe")
    if account.silence_ratio > STRIPE_SILENCE_RATIO and account.silent_s is not None:
        text = (
            f"No event{whose} has come for {span(account.silent_s)}; "
            f"lately it was never longer than {span(account.usual_gap_s)}."
        )
        yield Condition("StripeSilent", subject, text, "postroom doctor", "/console/stripe")


def _circuits(gauges: Gauges, receivers: Mapping[str, Receiver]) -> Iterator[Condition]:
    """One for each breaker that many depend on, one for all of single receivers together."""
    troubled = sorted(name for name, circuit in gauges.circuits.items() if circuit.state != "closed")
    for name in troubled:
        if name in SHARED_CIRCUITS:
            circuit = gauges.circuits[name]
            held = ", held by a person" if circuit.forced else ""
            why = f": {circuit.reason}" if circuit.reason else ""
            text = f"Breaker {name} is {circuit.state.replace('_', '-')}{held}{why}."
            # Mail's opens for a refused login more than for anything else: this says so, or proves it mended.
            prove = name == "email" and not circuit.forced
            command = "postroom work --job email-dlq --once" if prove else release_command(name)
            yield Condition("CircuitOpenLong", f"circuit {name}", text, command, "/console/circuits")
    single = [name for name in troubled if name not in SHARED_CIRCUITS]
    if single:
        named = ", ".join(receivers[n].url if n in receivers else n for n in single[:NAMED_MAX])
        more = f" and {len(single) - NAMED_MAX} more" if len(single) > NAMED_MAX else ""
        text = f"{len(single)} {'receiver fails' if len(single) == 1 else 'receivers fail'}: {named}{more}."
        command = release_command(single[0])
        yield Condition("DestinationCircuitOpenLong", "receivers", text, command, "/console/circuits")


def _vitals(gauges: Gauges) -> Iterator[Condition]:
    vitals = gauges.vitals
    if vitals.drift:
        text = f"The ledger does not add up: {vitals.drift} deliveries."
        yield Condition("LedgerDrift", "ledger", text, "postroom work --job canary --once")
    if vitals.transaction_s > TRANSACTION_OLD_S:
        text = f"A transaction has been open for {span(vitals.transaction_s)}."
        yield Condition("TransactionHeldLong", "transactions", text, "postroom doctor")
    if gauges.loses_commits:
        text = "A fail-over would lose commits: no standby has them before they are acknowledged."
        yield Condition("ReplicationNotSynchronous", "replication", text, SHOW_STANDBYS)
    if vitals.token_days is not None and vitals.token_days < TOKEN_DAYS_MIN:
        text = f"A token expires in {span(vitals.token_days * 86_400)}."
        yield Condition("TokenExpiresSoon", "tokens", text, "postroom token list", "/console/tokens")
    if vitals.partition_days < PARTITION_DAYS_MIN:
        text = f"The attempt log has partitions for {vitals.partition_days:.0f} days only."
        command = "postroom work --job retention --once"
        yield Condition("AttemptPartitionsRunOut", "attempt log", text, command, "/console/jobs")


def _reached(gauges: Gauges, channel: Channel) -> LimitStatus | None:
    """A limit of this channel for which something waits; one for all of it first."""
    return next((each for each in gauges.limits if each.channel == channel and each.reached), None)
