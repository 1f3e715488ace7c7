"""What a report says: a delivery status notification (RFC 3464) or a complaint (RFC 5965). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes, message_from_string
from email.errors import MessageError
from email.message import Message
from typing import Final

from postroom.channels.email.events.model import Kind
from postroom.channels.email.outcomes import is_hard_bounce
from postroom.channels.email.payload import RECIPIENTS_MAX

TEXT_MAX: Final = 20_000
_ADDRESSED: Final = ("To", "Delivered-To", "X-Original-To", "Envelope-To", "X-Envelope-To")
_ACTIONS: Final = {"failed": Kind.BOUNCED, "delayed": Kind.DEFERRED, "delivered": Kind.DELIVERED}
_STATUS: Final = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")
_ANSWER: Final = re.compile(r"([245]\d\d)(?:[ -]|$)(.*)")


@dataclass(frozen=True, slots=True)
class Told:
    """Of one recipient. `names` are the addresses that the report gives it, which may have been redacted."""

    kind: Kind
    names: tuple[str, ...]
    permanent: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """`addresses`: the text of every header in which the return path may stand."""

    addresses: str
    told: tuple[Told, ...]


def read_report(raw: bytes) -> Report | None:
    """None for any other mail, such as the notice of somebody's absence. Its end may have been cut off."""
    try:
        mail = message_from_bytes(raw)
        if mail.get_content_type() != "multipart/report":
            return None
        parts = {part.get_content_type(): part for part in reversed(_parts(mail))}
        complaint = next(iter(_parts(parts.get("message/feedback-report"))), Message())
        told = [*_complaint(complaint), *_statuses(_parts(parts.get("message/delivery-status")))]
        addresses = [*_values(mail, *_ADDRESSED), *_values(complaint, "Original-Mail-From")]
        addresses += _values(_returned(parts), "Return-Path")
    except (MessageError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None  # what the library cannot take apart, no mail server has written
    return Report("\n".join(addresses)[:TEXT_MAX], tuple(told))


def _statuses(blocks: list[Message]) -> Iterator[Told]:
    """The first block speaks of the whole mail; each of the others of one recipient."""
    for block in blocks[1 : RECIPIENTS_MAX + 1]:
        kind = _ACTIONS.get(_value(block, "Action").lower())
        if kind is not None:
            code, words = _answer(block)
            # A mail that was given up after days has the action `failed`, too; its status is 4.x.x.
            permanent = kind is Kind.BOUNCED and code >= 500 and is_hard_bounce(code, words)
            reason = f"{code} {words}" if words else _value(block, "Status")
            yield Told(kind, _names(block, "Original-Recipient", "Final-Recipient"), permanent, reason)


def _answer(block: Message) -> tuple[int, str]:
    """The receiver's own words, or what its server made of them. Where one says that it may pass, it may."""
    found = _STATUS.match(_value(block, "Status"))
    status = found[0] if found else ""
    type_, _, text = _value(block, "Diagnostic-Code").partition(";")
    said = _ANSWER.match(text.strip()) if type_.strip().lower() == "smtp" else None
    code, words = (int(said[1]), said[2].strip()) if said else (0, text.strip())
    if status.startswith("4") or not code:
        code = 550 if status.startswith("5") else 450
    if said and (_STATUS.match(words) or status == "5.0.0"):
        return code, words
    return code, f"{status} {words}".strip()


def _complaint(report: Message) -> Iterator[Told]:
    if _value(report, "Feedback-Type").lower() == "abuse":
        yield Told(Kind.COMPLAINED, _names(report, "Original-Rcpt-To"))


def _returned(parts: dict[str, Message]) -> Message:
    """The headers of the mail that the report is about."""
    if headers := parts.get("text/rfc822-headers"):
        return message_from_string(str(headers.get_payload()))
    return next(iter(_parts(parts.get("message/rfc822"))), Message())


def _parts(part: Message | None) -> list[Message]:
    inner = part.get_payload() if part is not None and part.is_multipart() else []
    return [each for each in inner if isinstance(each, Message)]


def _values(part: Message, *names: str) -> list[str]:
    return [" ".join(str(value).split()) for name in names for value in part.get_all(name, [])]


def _value(part: Message, name: str) -> str:
    return next(iter(_values(part, name)), "")


def _names(part: Message, *fields: str) -> tuple[str, ...]:
    """Without their type (`rfc822;`) and brackets."""
    return tuple(text.rpartition(";")[2].strip(" <>") for text in _values(part, *fields))
