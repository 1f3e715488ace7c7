"""A mail server's answer, read: of a refusal the codes, and the words where those say too little or the wrong
thing; of a mail that it took, the id.

The words are those of the servers that teams send through, each held by a test that names its source.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Self

from aiosmtplib import SMTPResponseException

_ENHANCED: Final = re.compile(r"\s*([245])\.(\d{1,3})\.(\d{1,3})\b")
_PROTOCOL_CODES: Final = frozenset({500, 501, 502, 503, 504, 555})

_TOO_LARGE: Final = re.compile(r"message.{0,40}(size|too (large|big|long))|size exceed", re.IGNORECASE)
_THROTTLED: Final = re.compile(
    r"throttl|sending (rate|limit|quota)|message quota|messaging limit|maximum credits"
    r"|rate limit|too (many|frequent) (concurrent|connect|messages)|relay limit exceeded",
    re.IGNORECASE,
)
_OF_THE_DAY: Final = re.compile(r"daily|per day|24.hour|quota|credits", re.IGNORECASE)
_SENDER_NOT_ALLOWED: Final = re.compile(
    r"not verified|verified sender|sender signature|not authorized to send|sandbox subdomains"
    r"|sending (is |has been )?(suspended|paused)",
    re.IGNORECASE,
)
_NOBODY_CODES: Final = frozenset({(1, 1), (1, 2), (1, 3), (1, 6), (1, 10), (2, 1), (4, 4)})
_NOBODY: Final = re.compile(
    r"(user|mailbox|recipient|account|address|person).{0,60}"
    r"(unknown|no longer|not (exist|found|available|here)|n't exist|unavailable|disabled|inactive|invalid)"
    r"|(unknown|invalid|no such|unrouteable) (user|mailbox|recipient|account|address|person)|no mailbox",
    re.IGNORECASE,
)
_ID: Final = re.compile(
    r"\bqueued as <?([^\s<>;,]{1,200})"  # Postfix, SendGrid, Brevo
    r"|\bid=<?([^\s<>;,]{1,200})"  # Exim
    r"|<([^\s<>;,]{1,200})> .{0,80}\bqueued mail"  # Exchange
    r"|([^\s<>;,]{6,200}) message accepted"  # Sendmail
    r"|^(?:2\.\d\.\d )?ok:? <?([0-9a-f][0-9a-f-]{15,100})>?$",  # SES
    re.IGNORECASE,
)
THROTTLED_S: Final = 5.0
QUOTA_S: Final = 600.0
"""SES asks for a wait of up to 10 minutes."""


def mail_id(answer: str) -> str | None:
    """The id under which a server took a mail; None where it names none. Never an address that was masked."""
    found = _ID.search(answer.strip())
    named = next(filter(None, found.groups())).rstrip(".") if found else ""
    return named if named and "***@" not in named else None


@dataclass(frozen=True, slots=True)
class Answer:
    """A server's refusal. `enhanced` is (class, subject, detail) of RFC 3463, where the server sent it."""

    code: int
    enhanced: tuple[int, int, int] | None
    text: str

    @classmethod
    def of(cls, error: SMTPResponseException) -> Self:
        found = _ENHANCED.match(error.message)
        enhanced = (int(found[1]), int(found[2]), int(found[3])) if found else None
        return cls(error.code, enhanced if enhanced and enhanced[0] != 2 else None, error.message)

    @property
    def temporary(self) -> bool:
        """The enhanced class beats the basic code."""
        return (self.enhanced[0] if self.enhanced else self.code // 100) == 4

    @property
    def subject(self) -> int | None:
        return self.enhanced[1] if self.enhanced else None

    @property
    def too_large(self) -> bool:
        if self.enhanced is not None:
            return self.enhanced[1:] in {(3, 4), (2, 3)}
        return self.code == 552 and _TOO_LARGE.search(self.text) is not None

    @property
    def mailbox_full(self) -> bool:
        return self.enhanced[1:] == (2, 2) if self.enhanced else self.code == 552 and not self.too_large

    @property
    def throttled_s(self) -> float | None:
        """How long to send nothing at all, where we send more than the server grants us. A policy that
        refuses for good is not that, whatever it says about rates."""
        refused = self.mailbox_full or (self.subject == 7 and not self.temporary)
        if refused or not _THROTTLED.search(self.text):
            return None
        return QUOTA_S if _OF_THE_DAY.search(self.text) else THROTTLED_S

    @property
    def sender_not_allowed(self) -> bool:
        """Our address or account, whichever recipient it came up at."""
        return self.subject not in (1, 2) and _SENDER_NOT_ALLOWED.search(self.text) is not None

    @property
    def of_protocol(self) -> bool:
        """Not so 550 with 5.5.0, which is what Outlook says of a mailbox that is not there."""
        if self.enhanced is None:
            return self.code in _PROTOCOL_CODES
        return self.enhanced[1] == 5 and self.code != 550

    @property
    def of_nobody(self) -> bool:
        """The address is no good, whatever is sent there. Where the codes leave it open, the words decide."""
        if self.enhanced is not None and self.enhanced[1:] in _NOBODY_CODES:
            return True
        told = self.subject in (None, 0, 1) or (self.subject, self.code) == (5, 550)
        sender = self.enhanced is not None and self.enhanced[1:] in {(1, 7), (1, 8)}
        return told and not sender and _NOBODY.search(self.text) is not None

    @property
    def codes(self) -> str:
        return f"{self.code} {'.'.join(map(str, self.enhanced))}" if self.enhanced else str(self.code)
