"""The doctor's look at the servers that mail goes out by."""

from __future__ import annotations

from postroom.base.clock import SystemClock
from postroom.base.email_settings import EmailSettings
from postroom.base.errors import SettingsInvalid
from postroom.channels.email.routes import open_routes
from postroom.health.findings import Finding, error, ok, warning

SUBJECT = "mail"
WITHIN_S = 5.0
COMMAND = "postroom work --job email-dlq --once"
"""Logs in first and, where that works, sends again what died of it."""


async def check_mail_servers(settings: EmailSettings) -> list[Finding]:
    """Logs in at each as a runner does, and sends nothing. Nothing where none is set, which `host` tells."""
    try:
        routes = open_routes(settings, clock=SystemClock(), circuits=None)
    except SettingsInvalid:
        return []  # told with the settings
    if not routes.all:
        return []
    faults = await routes.faults(within_s=WITHIN_S)
    await routes.close()
    if not faults:
        names = [route.name for route in routes.all if route.name]
        return [ok(SUBJECT, f"logged in at {', '.join(names) if names else 'the mail server'}")]
    tell = error if len(faults) == len(routes.all) else warning
    return [tell(SUBJECT, fault, COMMAND) for fault in faults.values()]
