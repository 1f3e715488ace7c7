"""What a provider's event says, whoever says it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from postroom.base.errors import PostroomError

UNMATCHED: Final = "unmatched"
SOFT_BOUNCED: Final = "soft_bounced"
"""Counted like kinds: an event of no mail that is in the ledger; a bounce that leaves the address good."""

# Our Message-ID, `<uuid@domain>` or `<uuid.n@domain>`, or the bare id of `X-Postroom-Id` and of metadata.
_OURS: Final = re.compile(r"<?([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?:\.\d+)?(?:@|$)", re.IGNORECASE)


class Provider(StrEnum):
    SES = "ses"
    SENDGRID = "sendgrid"
    MAILGUN = "mailgun"
    POSTMARK = "postmark"
    RESEND = "resend"
    BREVO = "brevo"
    MAILBOX = "mailbox"
    """No provider: reports that mail servers send by mail."""


class Kind(StrEnum):
    """Opened and clicked are not taken: what a person reads is nobody's business here."""

    DELIVERED = "delivered"
    DEFERRED = "deferred"
    BOUNCED = "bounced"
    COMPLAINED = "complained"
    UNSUBSCRIBED = "unsubscribed"


class ForgedEvent(PostroomError):
    """Not signed by the provider, not meant for us, or too old. The text never repeats what was sent."""

    code = "forged_event"
    status = 401
    title = "The provider's signature is needed"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to one mail for one recipient.

    `identity`: what the provider knows it by, the same when it is sent again.
    `recipient`: empty where the provider does not say whose event it is.
    `permanent`: a bounce after which nobody should write there again.
    """

    identity: tuple[str, ...]
    kind: Kind
    recipient: str
    message_id: UUID | None
    at: datetime | None = None
    permanent: bool = False
    reason: str = ""

    @property
    def id(self) -> bytes:
        """16 bytes of SHA-256, so that no address is kept that is part of it."""
        return hashlib.sha256("\x00".join(self.identity).encode()).digest()[:16]

    @property
    def counted_as(self) -> str:
        """Of bounces only those count as such after which the address is no good, as providers count them."""
        soft = self.kind is Kind.BOUNCED and not self.permanent
        return SOFT_BOUNCED if soft else self.kind.value

    @property
    def suppresses(self) -> bool:
        return self.permanent or self.kind is Kind.COMPLAINED


def our_id(*texts: object) -> UUID | None:
    """The message that the first of these names, in metadata, `X-Postroom-Id` or our Message-ID."""
    for text in texts:
        if isinstance(text, str) and (found := _OURS.match(text.strip())):
            return UUID(found[1])
    return None
