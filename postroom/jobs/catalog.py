"""Every job there is."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import timedelta
from functools import partial
from typing import Final

from postroom.admin import audit
from postroom.base.db import Connection, Pool, transaction
from postroom.base.settings import RetentionSettings
from postroom.channels.email.adapter import EmailAdapter
from postroom.channels.email.bounces.job import bounces_job
from postroom.channels.email.jobs import dead_letter_job
from postroom.channels.email.template_store import prune_templates
from postroom.channels.exports import store as exports
from postroom.channels.exports.adapter import ExportAdapter
from postroom.channels.exports.job import export_files_job
from postroom.channels.stripe import call_store
from postroom.channels.stripe import store as stripe
from postroom.channels.stripe.access_job import access_job
from postroom.channels.stripe.load import load_job
from postroom.channels.stripe.reconcile import reconcile_job
from postroom.channels.stripe.refresh import refresh_job
from postroom.channels.stripe.refresh_store import prune_refreshes
from postroom.channels.tasks.adapter import TaskAdapter
from postroom.channels.tasks.schedules import schedules_job
from postroom.channels.webhooks.endpoints import unpark_stragglers
from postroom.metrics.throughput import sample_throughput
from postroom.outbox.encryption_job import encryption_job
from postroom.outbox.engine.expirer import Expirer
from postroom.outbox.engine.rescuer import Rescuer
from postroom.outbox.jobs import canary_job, expiry_job, relay_job, rescue_job
from postroom.outbox.ledger.recovery import recovery_job
from postroom.outbox.ledger.retention import Prune, retention_job
from postroom.outbox.model import OUTBOUND, Channel
from postroom.wiring import WorkerServices
from postroom.worker.model import Job

DELIVERS: Final = {"outbox-delivery": OUTBOUND, "stripe-events": (Channel.STRIPE,)}
"""The jobs that deliver, and which channels each moves."""


async def _unpark(pool: Pool) -> int:
    async with transaction(pool) as conn:
        return await unpark_stragglers(conn)


def _deliveries(parts: WorkerServices, channels: Collection[Channel]) -> Iterator[Job]:
    for name, moves in DELIVERS.items():
        if relays := [parts.relays[channel] for channel in moves if channel in (channels or moves)]:
            yield relay_job(name, relays)


def _prunes(keep: RetentionSettings) -> tuple[Prune, ...]:
    """What the channels keep for a while: each removes so many rows at most, and says how many."""

    async def prune_exports(conn: Connection, limit: int) -> int:
        return await exports.prune_records(conn, days=keep.message_days, limit=limit)

    async def prune_bodies(conn: Connection, limit: int) -> int:
        return await stripe.prune_raw(conn, days=keep.delivered_payload_days, batch_max=limit)

    async def prune_events(conn: Connection, limit: int) -> int:
        return await stripe.prune_events(conn, days=keep.message_days, batch_max=limit)

    async def prune_calls(conn: Connection, limit: int) -> int:
        return await call_store.prune_calls(conn, days=keep.message_days, batch_max=limit)

    async def prune_mail_templates(conn: Connection, limit: int) -> int:
        return await prune_templates(conn, days=keep.message_days, batch_max=limit)

    async def prune_audit(conn: Connection, limit: int) -> int:
        return await audit.prune(conn, days=keep.audit_days, batch_max=limit)

    async def prune_requests(conn: Connection, limit: int) -> int:
        return await prune_refreshes(conn, batch_max=limit)

    return (
        prune_exports,
        prune_bodies,
        prune_events,
        prune_calls,
        prune_requests,
        prune_mail_templates,
        prune_audit,
    )


def catalog(parts: WorkerServices, channels: Collection[Channel] = ()) -> dict[str, Job]:
    """Every job by name, in the order in which they are shown.

    `channels`: what this process delivers, everything where none is named; a job that would deliver none of
    them is left out.
    """
    services = parts.services
    pool, keep = services.pool, services.settings.retention
    mailer, exporter = services.adapters[Channel.EMAIL], services.adapters[Channel.EXPORT]
    tasks = services.adapters[Channel.TASK]
    if not isinstance(mailer, EmailAdapter) or not isinstance(exporter, ExportAdapter):
        raise TypeError("the email or the export channel is served by another adapter")
    if not isinstance(tasks, TaskAdapter):
        raise TypeError("the task channel is served by another adapter")

    async def sample() -> int:
        return await sample_throughput(pool)

    rescuer = Rescuer(pool=pool, worker=parts.worker, backoffs=dict(parts.backoffs))
    jobs = (
        *_deliveries(parts, channels),
        dead_letter_job(pool=pool, mailer=mailer),
        bounces_job(
            pool=pool, settings=services.settings.email, keyring=services.keyring, clock=services.clock
        ),
        rescue_job(rescuer=rescuer, unpark=partial(_unpark, pool)),
        expiry_job(Expirer(pool=pool, worker=parts.worker, ages=parts.ages)),
        retention_job(pool=pool, keep=keep, extras=_prunes(keep)),
        canary_job(pool=pool, extras=(sample,)),
        encryption_job(pool=pool, keyring=services.keyring),
        recovery_job(pool=pool),
        reconcile_job(services.stripe_reconcile),
        export_files_job(pool=pool, files=exporter.files, settings=services.settings.exports),
        load_job(services.stripe_load),
        refresh_job(services.stripe_refresh, wakeup=parts.wakeup),
        access_job(
            pool=pool, keyring=services.keyring, grace=timedelta(days=services.settings.stripe.grace_days)
        ),
        schedules_job(
            pool=pool,
            planned=tasks.schedules if services.settings.tasks.schedules else {},
            keyring=services.keyring,
        ),
    )
    return {job.name: job for job in jobs}
