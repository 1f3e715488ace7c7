"""The doctor's look at settings and disks; asks no network."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from urllib.request import url2pathname

from postroom.base.settings import UP_ENVIRONMENT, Settings
from postroom.health.findings import Finding, error, ok, warning
from postroom.health.instance import running_instance
from postroom.health.setting_names import unknown_names

FREE_BYTES_MIN: Final = 1_000_000_000
FREE_SHARE_MIN: Final = 0.05


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
    if settings.email.url is None:
        yield warning(
            "settings", "no way out for mail: emails wait", "export POSTROOM_EMAIL__URL=smtp://host:587"
        )
    if not settings.stripe.webhook_secrets:
        yield warning(
            "settings", "Stripe is off: no signing secret", "export POSTROOM_STRIPE__WEBHOOK_SECRETS=whsec_…"
        )
    if settings.stripe.webhook_secrets and settings.stripe.api_key is None:
        yield warning(
            "settings",
            "no Stripe API key: thin events and ties cannot be resolved",
            "export POSTROOM_STRIPE__API_KEY=rk_…",
        )
    if settings.metrics_token is None:
        yield warning("settings", "metrics are open to everybody", "export POSTROOM_METRICS_TOKEN=…")
    if settings.webhook.allow_private and settings.prod:
        yield error(
            "settings", "webhooks may reach private addresses", "unset POSTROOM_WEBHOOK__ALLOW_PRIVATE"
        )
    for name, path in (("POSTROOM_ROUTES", settings.routes), ("POSTROOM_HANDLERS", settings.handlers)):
        if path is not None and not path.is_file():
            yield error("settings", f"{name} names no file: {path}", f"ls -l {path}")


def check_disks(settings: Settings) -> Iterator[Finding]:
    """Room where this process writes."""
    places = {"state": settings.state_dir}
    exports = urlsplit(settings.exports.url or "")
    if exports.scheme == "file":
        places["exports"] = Path(url2pathname(exports.path))
    for name, path in places.items():
        yield _disk(f"{name} folder", path)


def _disk(subject: str, path: Path) -> Finding:
    existing = next((p for p in (path, *path.parents) if p.exists()), None)
    if existing is None:
        return error(subject, f"{path} is nowhere", f"mkdir -p {path}")
    usage = shutil.disk_usage(existing)
    text = f"{usage.free / 1e9:.1f} GB free at {path}"
    if usage.free < FREE_BYTES_MIN or usage.free < usage.total * FREE_SHARE_MIN:
        return warning(subject, text, f"df -h {existing}")
    return ok(subject, text)
