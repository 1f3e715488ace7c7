"""What an SMTP failure means: pure, one table, one test a row."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum

from aiosmtplib import (
    SMTPException,
    SMTPNotSupported,
    SMTPRecipientRefused,
    SMTPRecipientsRefused,
    SMTPResponseException,
)

from postroom.channels.email.address import mask
from postroom.channels.email.answer import Answer
from postroom.outbox.model import Cause, Rejected, RetryLater, Trip, Unknown

DETAIL_CHARACTERS_MAX = 500

Failure = RetryLater | Rejected | Unknown


class Phase(StrEnum):
    """How far the session had come. After BODY began, the mail may have been taken."""

    CONNECT = "connect"
    LOGIN = "login"
    SENDER = "sender"
    RECIPIENT = "recipient"
    DATA = "data"
    BODY = "body"


_REFUSED = {
    Phase.CONNECT: "the mail server refused the connection",
    Phase.LOGIN: "the mail server refused the login",
    Phase.SENDER: "the mail server refused the sender",
    Phase.RECIPIENT: "the mail server refused the recipient",
    Phase.DATA: "the mail server refused the mail",
    Phase.BODY: "the mail server refused the mail",
}

_LOGIN_CODES = frozenset({530, 534, 535, 538})

MENDABLE_CODES = (
    *("530", "534", "535", "538", "454", "certificate", "unsupported", "renderer"),
    *(Phase.CONNECT.value, Phase.LOGIN.value, Phase.SENDER.value),
)
"""What dies with cause `ours` and passes, the mail as it is, once server or settings are mended: codes."""


def outcome_of(error: BaseException, phase: Phase) -> Failure:
    """Turn a failure into an outcome.

    Reasons hold codes and fixed words only, because they end up in fingerprints; the server's
    own words are in `detail`, with addresses masked.
    """
    match error:
        case SMTPRecipientsRefused():
            return _of_refusals(error.recipients)
        case SMTPResponseException() if 400 <= error.code <= 599:
            return _of_answer(Answer.of(error), phase)
        case SMTPNotSupported() if phase is not Phase.LOGIN:
            return Rejected(
                "the mail server cannot carry an address outside ASCII (SMTPUTF8)", code="smtputf8"
            )
    if phase is Phase.BODY:
        return Unknown(
            "the connection ended after the mail was handed over and before it was answered",
            code=_lost_code(error),
            detail=_detail(str(error)),
        )
    return _of_connection(error, phase)


def is_hard_bounce(code: int, text: str) -> bool:
    """Whether a refusal that a report tells of says that nobody should write to the address again.

    More is asked than of a dead letter: a mail that is too large, spam or sent by the wrong one leaves the
    address as good as it was.
    """
    refusal = SMTPRecipientRefused(code, text, "")
    outcome = outcome_of(refusal, Phase.RECIPIENT)
    permanent = isinstance(outcome, Rejected) and outcome.cause is Cause.PERMANENT
    return permanent and Answer.of(refusal).of_nobody


def _of_refusals(refusals: Sequence[SMTPRecipientRefused]) -> Failure:
    """One outcome for several recipients: while one may still pass, it is tried again."""
    outcomes = [outcome_of(each, Phase.RECIPIENT) for each in refusals]
    return next((each for each in outcomes if isinstance(each, RetryLater)), outcomes[0])


def _of_answer(answer: Answer, phase: Phase) -> Failure:
    reason = f"{_REFUSED[phase]}: {answer.codes}"
    if answer.code == 421:
        return _retry(f"the mail server is closing down or busy: {answer.codes}", answer, trip=Trip.STRIKE)
    if phase is Phase.LOGIN or answer.code in _LOGIN_CODES:
        # Our credentials or our TLS: no recipient is to blame, and no other mail would pass either.
        outcome = _retry(reason, answer, trip=Trip.NOW, cause=Cause.OURS)
        return outcome if outcome.code in MENDABLE_CODES else replace(outcome, code=phase.value)
    if answer.too_large:
        return _reject(f"{reason} (too large for it)", answer)
    if (pause_s := answer.throttled_s) is not None:
        slower = _retry(f"{reason} (too much at once)", answer, trip=Trip.NOW)
        return replace(slower, after_s=pause_s)
    if phase in (Phase.CONNECT, Phase.SENDER) or answer.sender_not_allowed:
        # About us or the server, so it hits every mail alike: no recipient has been named yet, or it says so.
        cause = Cause.PASSING if answer.temporary else Cause.OURS
        outcome = _retry(reason, answer, trip=Trip.STRIKE, cause=cause)
        return outcome if answer.temporary else replace(outcome, code=phase.value)
    if answer.temporary:
        # 4.3 (system) and 4.4 (network) speak of the server; the rest, like greylisting, of this one mail.
        of_server = phase is not Phase.RECIPIENT and answer.subject in (3, 4)
        return _retry(reason, answer, trip=Trip.STRIKE if of_server else Trip.NO)
    return _of_permanent(answer, reason)


def _of_permanent(answer: Answer, reason: str) -> Failure:
    if answer.mailbox_full:
        return _retry(f"{reason} (mailbox full)", answer, trip=Trip.NO)
    if answer.subject == 7:
        # Policy: SPF, DKIM, relaying, reputation or content. The mailbox is fine; it is on our side that
        # somebody must mend something, and until then another attempt only hurts our reputation.
        return _reject(f"{reason} (policy)", answer, cause=Cause.OURS)
    if answer.of_protocol:
        return _reject(f"{reason} (protocol)", answer, cause=Cause.OURS)
    return _reject(reason, answer)


def _of_connection(error: BaseException, phase: Phase) -> RetryLater:
    """No answer that could be read: nothing has been taken yet."""
    code = _lost_code(error)
    detail = _detail(str(error.__cause__ or error))
    if code == "certificate":
        return RetryLater(
            "the mail server's certificate cannot be verified",
            code=code,
            detail=detail,
            cause=Cause.OURS,
            trip=Trip.NOW,
        )
    if code == "unsupported":
        # No AUTH or no STARTTLS where the url asks for it.
        return RetryLater(
            "the mail server does not offer what POSTROOM_EMAIL__URL asks for (login or STARTTLS)",
            code=code,
            detail=detail,
            cause=Cause.OURS,
            trip=Trip.NOW,
        )
    what = "did not answer in time" if code == "timeout" else "could not be reached or hung up"
    return RetryLater(f"the mail server {what} ({phase})", code=code, detail=detail)


def _lost_code(error: BaseException) -> str:
    chain = (error, error.__cause__)
    if any(isinstance(each, ssl.SSLCertVerificationError) for each in chain):
        return "certificate"
    if any(isinstance(each, TimeoutError) for each in chain):
        return "timeout"
    if any(isinstance(each, OSError) for each in chain):
        return "connection"
    if isinstance(error, SMTPException) and not isinstance(error, SMTPResponseException):
        return "unsupported"
    return "connection"


def _retry(reason: str, answer: Answer, *, trip: Trip, cause: Cause = Cause.PASSING) -> RetryLater:
    return RetryLater(reason, code=str(answer.code), detail=_detail(answer.text), cause=cause, trip=trip)


def _reject(reason: str, answer: Answer, *, cause: Cause = Cause.PERMANENT) -> Rejected:
    return Rejected(reason, code=str(answer.code), detail=_detail(answer.text), cause=cause)


def _detail(text: str) -> str:
    """A server's words, fit for the database: no address in full, no NUL, no lone surrogate."""
    clean = text.encode("utf-8", "replace").decode().replace("\x00", "?")
    return mask(clean)[:DETAIL_CHARACTERS_MAX]
