"""From a checked payload to the bytes that go out after DATA."""

from __future__ import annotations

import binascii
import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from email.header import Header
from email.headerregistry import Address
from email.message import EmailMessage, Message
from email.policy import SMTP, EmailPolicy
from email.utils import format_datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from postroom.channels.email.payload import Email

_LINE_MAX = 78
_WORD = re.compile(r" *[^ ]+ *$| *[^ ]+")


class _Policy(EmailPolicy):
    """Headers that are safe as they stand are neither parsed nor folded, which is half of a message's cost.

    Safe are lines of our own, and one short line of printable ASCII; all else goes the long way.
    """

    def header_store_parse(self, name: str, value: Any) -> tuple[str, Any]:
        if isinstance(value, _Lines) or _is_plain(name, value):
            return name, value
        return super().header_store_parse(name, value)

    def header_max_count(self, name: str) -> int | None:
        return _max_count(name.lower())

    def header_fetch_parse(self, name: str, value: str) -> Any:
        return value if _is_plain(name, value) else super().header_fetch_parse(name, value)


class _Lines(str):
    """A header's value as it goes out, folded by us."""

    __slots__ = ()


@lru_cache(maxsize=256)
def _max_count(name: str) -> int | None:
    """Kept, for the library makes a class each time it is asked."""
    return SMTP.header_max_count(name)


def _is_plain(name: str, value: Any) -> bool:
    return (
        type(value) is str
        and value.isascii()
        and value.isprintable()
        and len(name) + 2 + len(value) <= _LINE_MAX
        and name.lower() != "content-disposition"  # EmailMessage asks it for its parts
    )


_SEVEN_BIT = _Policy(linesep="\r\n", max_line_length=_LINE_MAX, cte_type="7bit", refold_source="none")
_SEVEN_BIT_BODY = _SEVEN_BIT.clone(utf8=True)


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
    """Put the message together. Bcc never becomes a header; the caller puts it on the envelope."""
    message = EmailMessage(policy=_SEVEN_BIT)
    message["From"] = _listed(sender)
    message["To"] = _listed(*email.to)
    if email.cc:
        message["Cc"] = _listed(*email.cc)
    if email.reply_to:
        message["Reply-To"] = _listed(email.reply_to)
    message["Subject"] = content.subject
    message["Date"] = format_datetime(stamp.date)
    message["Message-ID"] = _kept("Message-ID", stamp.header(sender.domain))
    message["X-Postroom-Id"] = str(stamp.message_id)
    if stamp.correlation_id:
        # A caller's own id may hold anything: what no header can hold is shown as a question mark.
        shown = "".join(c if " " <= c <= "~" else "?" for c in stamp.correlation_id)
        message["X-Correlation-Id"] = _kept("X-Correlation-Id", shown)
    for name, value in email.headers:
        message[name] = _kept(name, value)
    if "Auto-Submitted" not in message:
        # So that nobody's absence notice answers it (RFC 3834).
        message["Auto-Submitted"] = "auto-generated"
    _fill(message, email, content)
    return message


def _kept(name: str, value: str) -> str:
    """A value of ASCII as it stands, folded at its spaces. The library takes any header that it does not know
    for a text and encodes what is long, which no reader of `List-Unsubscribe` or `References` decodes."""
    if _is_plain(name, value) or not value.isascii():
        return value
    lines = [f"{name}:"]
    for word in _WORD.findall(f" {value}"):
        if len(lines[-1]) + len(word) > _LINE_MAX and not lines[-1].endswith(":"):
            lines.append("")
        lines[-1] += word
    return _Lines("\n".join(lines)[len(name) + 2 :])


def _listed(*addresses: Address) -> _Lines:
    """One a line: folded by the library, a long name loses its quotes and reads as addresses."""
    return _Lines(",\n ".join(map(_mailbox, addresses)))


def _mailbox(each: Address) -> str:
    if each.display_name.isascii():
        return str(each)
    return f"{Header(each.display_name, 'utf-8').encode()} <{each.addr_spec}>"


def _fill(message: EmailMessage, email: Email, content: Content) -> None:
    message["MIME-Version"] = "1.0"
    if content.text is None or content.html is None:
        _set_text(message, content.text or content.html or "", "html" if content.text is None else "plain")
    else:
        # A header of our own: the library takes its one apart three times.
        message["Content-Type"] = f'multipart/alternative; boundary="{_boundary()}"'
        for text, subtype in ((content.text, "plain"), (content.html, "html")):
            part = EmailMessage(policy=_SEVEN_BIT)
            _set_text(part, text, subtype)
            message.attach(part)
    if email.attachments:
        message.make_mixed(_boundary())
    for each in email.attachments:
        message.add_attachment(
            each.content, maintype=each.maintype, subtype=each.subtype, filename=each.filename
        )


def _set_text(part: EmailMessage, text: str, subtype: str) -> None:
    """What `set_content` does, by the encoder that is written in C: the other took a sixth of a mail."""
    part["Content-Type"] = f'text/{subtype}; charset="utf-8"'
    part["Content-Transfer-Encoding"] = "quoted-printable"
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    part.set_payload(binascii.b2a_qp(lines.encode(), istext=True).decode())


def _boundary() -> str:
    """Nobody can put it into a text beforehand, so the texts need not be searched for it."""
    return f"=_{secrets.token_urlsafe(16)}"


def to_bytes(message: EmailMessage, *, utf8: bool) -> bytes:
    """Serialise for DATA, each line ended by CRLF. `utf8`: an address outside ASCII needs SMTPUTF8.

    Everything else is 7-bit, which any server on the way can carry. The library's own generator looks for
    boundaries and line ends all over again, which took as long as all else of a mail.
    """
    lines: list[str] = []
    _write(message, _SEVEN_BIT_BODY if utf8 else _SEVEN_BIT, lines)
    return "".join(lines).encode("utf-8" if utf8 else "ascii", "surrogateescape")


def _write(part: Message, policy: EmailPolicy, lines: list[str]) -> None:
    for name, value in part.raw_items():
        lines.append(f"{name}: {value}\r\n" if _is_plain(name, value) else policy.fold(name, value))
    payload: Any = part.get_payload()
    if not isinstance(payload, list):
        lines += ("\r\n", payload.replace("\n", "\r\n"))
        return
    boundary = str(part["Content-Type"]).partition('boundary="')[2][:-1]
    for each in payload:
        lines.append(f"\r\n--{boundary}\r\n")
        _write(each, policy, lines)
    lines.append(f"\r\n--{boundary}--\r\n")


def needs_utf8(email: Email) -> bool:
    shown = [email.reply_to.addr_spec] if email.reply_to else []
    return not all(each.isascii() for each in (*recipients(email), *shown))
