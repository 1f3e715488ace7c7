"""The doctor's look at settings, disks and certificates; asks no network."""

from __future__ import annotations

import os
from collections.abc import Iterator

from postroom.base.settings import UP_ENVIRONMENT, Settings
from postroom.base.stripe_settings import setting_of
from postroom.health.findings import Finding, error, ok, warning
from postroom.health.instance import running_instance
from postroom.health.setting_names import unknown_names
from postroom.health.thresholds import CERTIFICATE_DAYS_MIN, DISK_FREE_MIN
from postroom.metrics.host import certificates, expiry_days, free_ratio, volumes


def check_settings(settings: Settings) -> Iterator[Finding]:
    """What is unset, misspelt or dangerous."""
    for name, meant in unknown_names(os.environ).items():
        hint = f"; did you mean {meant}?" if meant else ""
        yield warning("settings", f"{name} is no setting{hint}", f"unset {name}")
    running = settings.state_dir / UP_ENVIRONMENT
    if settings.database_url is None and running.is_file() and running_instance(settings.state_dir):
        yield warning(
            "settings", "postroom up has settings that this shell lacks", f"set -a; . {running}; set +a"
        )
        return
    if not settings.email.all_routes():
        yield warning(
            "settings", "no way out for mail: emails wait", "export POSTROOM_EMAIL__URL=smtp://host:587"
        )
    if not settings.stripe.on and settings.ledger is None:  # of several, another one may have the account
        yield warning(
            "settings", "Stripe is off: no signing secret", "export POSTROOM_STRIPE__WEBHOOK_SECRETS=whsec_…"
        )
    for name, account in settings.stripe.by_name().items():
        if account.webhook_secrets and account.api_key is None:
            yield warning(
                "settings",
                "no Stripe API key: thin events and ties cannot be resolved",
                f"export {setting_of(name, 'API_KEY')}=rk_…",
            )
    if settings.metrics_token is None:
        yield warning("settings", "metrics are open to everybody", "export POSTROOM_METRICS_TOKEN=…")
    if settings.webhook.allow_private and settings.prod:
        yield error(
            "settings", "webhooks may reach private addresses", "unset POSTROOM_WEBHOOK__ALLOW_PRIVATE"
        )


def check_disks(settings: Settings) -> Iterator[Finding]:
    """Room where this process writes."""
    for name, path in volumes(settings).items():
        subject, ratio = f"{name} folder", free_ratio(path)
        if ratio is None:
            yield error(subject, f"{path} cannot be looked at", f"mkdir -p {path}")
        elif ratio < DISK_FREE_MIN:
            yield warning(subject, f"{ratio:.0%} free at {path}", f"df -h {path}")
        else:
            yield ok(subject, f"{ratio:.0%} free at {path}")


def check_certificates(settings: Settings) -> Iterator[Finding]:
    """The files of certificates that the settings name."""
    for name, path in certificates(settings).items():
        days = expiry_days(path)
        if days is not None and days < CERTIFICATE_DAYS_MIN:
            yield warning(f"certificate {name}", f"{path} ends in {days:.0f} days", f"ls -l {path}")
