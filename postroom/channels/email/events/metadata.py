"""What a mail carries so that its provider's events name it. Others hand back our Message-ID or headers."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from postroom.base.email_settings import EmailSettings
from postroom.channels.email.events.parsers import METADATA
from postroom.channels.email.payload import Email


def with_metadata(
    email: Email, settings: EmailSettings, message_id: UUID, *, provider: str | None = None
) -> Email:
    """For `provider`, or else those whose events are taken; each takes its own header out. A header that the
    mail brings itself stays as it is."""
    headers = []
    if provider == "sendgrid" or (not provider and settings.events_sendgrid_keys):
        # A late bounce has no `smtp-id`.
        headers.append(("X-SMTPAPI", f'{{"unique_args":{{"{METADATA}":"{message_id}"}}}}'))
    if provider == "postmark" or (not provider and settings.events_postmark_logins):
        headers.append((f"X-PM-Metadata-{METADATA}", str(message_id)))  # its Message-ID is its own
    if provider == "resend":  # so that it sends one mail, however often it is handed over within a day
        headers.append(("Resend-Idempotency-Key", str(message_id)))
    if not headers:
        return email
    known = {name.lower() for name, _ in email.headers}
    return replace(
        email, headers=(*email.headers, *(each for each in headers if each[0].lower() not in known))
    )
