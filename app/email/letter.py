"""From a checked payload to the bytes that go out after DATA."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime
from uuid import UUID

from app.email.payload import Email

_SEVEN_BIT = SMTP.clone(cte_type="7bit")
_SEVEN_BIT_BODY = SMTPUTF8.clone(cte_type="7bit")


@dataclass(frozen=True, slots=True)
class Content:
    """The words of a mail; at least one of `text` and `html` is set."""

    subject: str
    text: str | None
    html: str | None


@dataclass(frozen=True, slots=True)
class Stamp:
    """What marks a mail as this message's: the same on every attempt, but for `date`."""

    message_id: UUID
    n: int
    correlation_id: str
    date: datetime

    def header(self, domain: str) -> str:
        """The Message-ID, by which receivers recognise a second copy."""
        suffix = f".{self.n}" if self.n else ""
        return f"<{self.message_id}{suffix}@{domain}>"


def recipients(email: Email) -> tuple[str, ...]:
    """Every address once, in the order of the payload, which therefore is the same on every attempt."""
    unique: dict[str, str] = {}
    for each in (*email.to, *email.cc, *email.bcc):
        unique.setdefault(each.addr_spec.lower(), each.addr_spec)
    return tuple(unique.values())


def build(email: Email, content: Content, *, sender: Address, stamp: Stamp) -> EmailMessage:
    """Put the letter together. Bcc never becomes a header; the caller puts it on the envelope."""
    message = EmailMessage(policy=_SEVEN_BIT)
    message["From"] = sender
    message["To"] = email.to
    if email.cc:
        message["Cc"] = email.cc
    if email.reply_to:
        message["Reply-To"] = email.reply_to
    message["Subject"] = content.subject
    message["Date"] = format_datetime(stamp.date)
    message["Message-ID"] = stamp.header(sender.domain)
    message["X-Postroom-Id"] = str(stamp.message_id)
    if stamp.correlation_id:
        # A caller's own id may hold anything: what no header can hold is shown as a question mark.
        message["X-Correlation-Id"] = "".join(c if " " <= c <= "~" else "?" for c in stamp.correlation_id)
    for name, value in email.headers:
        message[name] = value
    _fill(message, email, content)
    return message


def _fill(message: EmailMessage, email: Email, content: Content) -> None:
    if content.text is not None:
        message.set_content(content.text)
        if content.html is not None:
            message.add_alternative(content.html, subtype="html")
    else:
        message.set_content(content.html or "", subtype="html")
    for each in email.attachments:
        message.add_attachment(
            each.content, maintype=each.maintype, subtype=each.subtype, filename=each.filename
        )


def to_bytes(message: EmailMessage, *, utf8: bool) -> bytes:
    """Serialise for DATA. `utf8`: an address outside ASCII needs a server with SMTPUTF8.

    Everything else is 7-bit, which any server on the way can carry.
    """
    return message.as_bytes(policy=_SEVEN_BIT_BODY if utf8 else _SEVEN_BIT)


def needs_utf8(addresses: Iterable[str]) -> bool:
    return not all(each.isascii() for each in addresses)
