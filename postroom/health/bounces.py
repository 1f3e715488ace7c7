"""The doctor's look at the mailbox that bounces come to."""

from __future__ import annotations

from postroom.base.email_settings import EmailSettings
from postroom.base.errors import SettingsInvalid, Unavailable
from postroom.channels.email.bounces.imap import open_mailbox, parse_place
from postroom.health.findings import Finding, error, ok, warning

SUBJECT = "bounces"


async def check_bounces(settings: EmailSettings) -> list[Finding]:
    """Logs in as the job does, and reads no mail. Nothing where bounces are not asked for."""
    if settings.bounces_url is None:
        if settings.bounces_address is None:
            return []
        text = f"they come back to {settings.bounces_address}, and nothing here reads them"
        return [warning(SUBJECT, text, "export POSTROOM_EMAIL__BOUNCES_URL=imaps://…")]
    try:
        place = parse_place(settings.bounces_url, tls_ca=settings.tls_ca)
        async with open_mailbox(place) as mailbox:
            unread = len(await mailbox.list_unread())
    except SettingsInvalid:
        return []  # told with the settings
    except Unavailable as away:
        return [error(SUBJECT, away.detail, "postroom jobs run email-bounces")]
    return [ok(SUBJECT, f"{unread} unread in {place.folder} at {place.host}")]
