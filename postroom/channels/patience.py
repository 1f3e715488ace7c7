"""When each channel tries again, and for how long it goes on."""

from __future__ import annotations

from datetime import timedelta

from postroom.base.settings import Settings
from postroom.client.task import ATTEMPTS_MAX
from postroom.outbox.engine.expirer import Ages
from postroom.outbox.model import Channel
from postroom.resilience.backoff import Backoff, Exponential, Schedule


def backoffs(settings: Settings) -> dict[Channel, Backoff]:
    """When each channel tries again, and how often at most."""
    return {
        Channel.STRIPE: Exponential(attempts_max=12, base_s=2.0, cap_s=3_600.0),
        Channel.EMAIL: Exponential(attempts_max=settings.email.attempts_max, base_s=10.0, cap_s=14_400.0),
        Channel.WEBHOOK: Schedule(settings.webhook.steps_s),
        Channel.EXPORT: Exponential(attempts_max=14, base_s=5.0, cap_s=7_200.0),
        Channel.STRIPE_API: Exponential(attempts_max=12, base_s=2.0, cap_s=3_600.0),
        Channel.TASK: Exponential(attempts_max=ATTEMPTS_MAX, base_s=5.0, cap_s=3_600.0),
    }


def greatest_ages(settings: Settings) -> Ages:
    """How long each channel's deliveries may wait. Stripe's events and calls to Stripe have no limit."""
    return Ages(
        channels={
            Channel.EMAIL: timedelta(days=settings.email.age_max_days),
            Channel.WEBHOOK: timedelta(days=settings.webhook.age_max_days),
            Channel.EXPORT: timedelta(days=settings.exports.age_max_days),
            Channel.TASK: timedelta(days=settings.tasks.age_max_days),
        },
        parked=timedelta(days=settings.webhook.parked_max_days),
    )
