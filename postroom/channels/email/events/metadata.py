"""What a mail carries so that its provider's events name it. Others hand back our Message-ID or headers."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from postroom.base.email_settings import EmailSettings
from postroom.channels.email.events.parsers import METADATA
from postroom.channels.email.payload import Email


def with_metadata(email: Email, settings: EmailSettings, message_id: UUID) -> Email:
    """For the providers whose events are taken; each takes its own header out. A header that the mail brings
    itself stays as it is."""
    headers = []
    if settings.events_sendgrid_keys:  # a late bounce has no `smtp-id`
        headers.append(("X-SMTPAPI", f'{{"unique_args":{{"{METADATA}":"{message_id}"}}}}'))
    if settings.events_postmark_logins:  # it gives each mail a Message-ID of its own
        headers.append((f"X-PM-Metadata-{METADATA}", str(message_id)))
    known = {name.lower() for name, _ in email.headers}
    return replace(
        email, headers=(*email.headers, *(each for each in headers if each[0].lower() not in known))
    )
