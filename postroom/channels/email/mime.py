"""From a checked payload to the bytes that go out after DATA."""

from __future__ import annotations

import binascii
import re
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.header import Header
from email.headerregistry import Address
from email.message import MIMEPart
from email.policy import EmailPolicy
from email.utils import format_datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from postroom.channels.email.payload import Attachment, Email

_LINE_MAX = 78
_LINE_SENT_MAX = 998
"""Without CRLF (RFC 5322)."""
_RAW_TEXT = re.compile(rb"<(?:style|script)", re.IGNORECASE)
_WORD = re.compile(r" *[^ ]+ *$| *[^ ]+")


class _Lines(str):
    """A header's value as it goes out, folded by us."""

    __slots__ = ()


def _is_plain(name: str, value: str) -> bool:
    return value.isascii() and value.isprintable() and len(name) + 2 + len(value) <= _LINE_MAX


_SEVEN_BIT = EmailPolicy(linesep="\r\n", max_line_length=_LINE_MAX, cte_type="7bit", refold_source="none")
_SEVEN_BIT_UTF8 = _SEVEN_BIT.clone(utf8=True)


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


def write(email: Email, content: Content, *, sender: Address, stamp: Stamp, utf8: bool) -> bytes:
    """The mail as it goes out after DATA, each line ended by CRLF. `utf8`: an address needs SMTPUTF8.

    Everything else is 7-bit, which any server on the way can carry. Bcc never becomes a header; the caller
    puts it on the envelope.
    """
    policy = _SEVEN_BIT_UTF8 if utf8 else _SEVEN_BIT
    lines = [_header(name, value, policy) for name, value in _headers(email, content, sender, stamp)]
    body = _alternatives(content)
    if email.attachments:
        several = [_attached(each) for each in email.attachments]
        body = _multipart("mixed", ["".join(body), *several])
    return "".join([*lines, *body]).encode("utf-8" if utf8 else "ascii", "surrogateescape")


def _headers(email: Email, content: Content, sender: Address, stamp: Stamp) -> Iterator[tuple[str, str]]:
    yield "From", _listed(sender)
    yield "To", _listed(*email.to)
    if email.cc:
        yield "Cc", _listed(*email.cc)
    if email.reply_to:
        yield "Reply-To", _listed(email.reply_to)
    yield "Subject", content.subject
    yield "Date", _date(stamp.date.replace(microsecond=0))
    yield "Message-ID", _kept("Message-ID", stamp.header(sender.domain))
    yield "X-Postroom-Id", str(stamp.message_id)
    if stamp.correlation_id:
        # A caller's own id may hold anything: what no header can hold is shown as a question mark.
        shown = "".join(c if " " <= c <= "~" else "?" for c in stamp.correlation_id)
        yield "X-Correlation-Id", _kept("X-Correlation-Id", shown)
    for name, value in email.headers:
        yield name, _kept(name, value)
    if not any(name.lower() == "auto-submitted" for name, _ in email.headers):
        # So that nobody's absence notice answers it (RFC 3834).
        yield "Auto-Submitted", "auto-generated"
    yield "MIME-Version", "1.0"


@lru_cache(maxsize=8)
def _date(second: datetime) -> str:
    return format_datetime(second)


def _header(name: str, value: str, policy: EmailPolicy[Any]) -> str:
    """Safe as they stand are lines of our own, and one short line of printable ASCII; the library parses and
    folds all else, which took half of a mail's time when it did so with each."""
    if isinstance(value, _Lines):
        return f"{name}: {value.replace(chr(10), policy.linesep)}{policy.linesep}"
    if _is_plain(name, value):
        return f"{name}: {value}{policy.linesep}"
    folded: str = policy.fold(*policy.header_store_parse(name, value))
    return folded


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


def _alternatives(content: Content) -> list[str]:
    texts = ((content.text, "plain"), (content.html, "html"))
    parts = [_text(text, subtype) for text, subtype in texts if text is not None]
    return [parts[0]] if len(parts) == 1 else _multipart("alternative", parts)


def _multipart(subtype: str, parts: Sequence[str]) -> list[str]:
    # Nobody can put it into a text beforehand, so the texts need not be searched for it.
    boundary = f"=_{secrets.token_urlsafe(16)}"
    inner = (line for each in parts for line in (f"\r\n--{boundary}\r\n", each))
    kind = f'Content-Type: multipart/{subtype}; boundary="{boundary}"\r\n'
    return [kind, *inner, f"\r\n--{boundary}--\r\n"]


def _text(text: str, subtype: str) -> str:
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if subtype == "html" and (plain := _as_ascii(text)) is not None:
        return 'Content-Type: text/html; charset="utf-8"\r\n\r\n' + plain.replace("\n", "\r\n")
    quoted = binascii.b2a_qp(text.encode(), istext=True).decode()
    return (
        f'Content-Type: text/{subtype}; charset="utf-8"\r\n'
        "Content-Transfer-Encoding: quoted-printable\r\n\r\n" + quoted.replace("\n", "\r\n")
    )


def _as_ascii(html: str) -> str | None:
    """What it says, without an encoding for the transport, which takes three times as long; `None` where only
    that will do: for long lines, and for letters in a style or script, where a reference is no letter."""
    if not html.isascii():
        raw, end, rest = html.rpartition("</style>")
        plain = rest.encode("ascii", "xmlcharrefreplace")
        if not raw.isascii() or _RAW_TEXT.search(plain):
            return None
        html = raw + end + plain.decode("ascii")
    return html if max(map(len, html.split("\n"))) <= _LINE_SENT_MAX else None


def _attached(each: Attachment) -> str:
    part = MIMEPart(policy=_SEVEN_BIT)
    part.set_content(
        each.content,
        maintype=each.maintype,
        subtype=each.subtype,
        disposition="attachment",
        filename=each.filename,
    )
    return part.as_bytes().decode("ascii")


def needs_utf8(email: Email) -> bool:
    shown = [email.reply_to.addr_spec] if email.reply_to else []
    return not all(each.isascii() for each in (*recipients(email), *shown))
