"""What each SMTP failure means: one test a row of the table."""

from __future__ import annotations

import ssl

import pytest
from aiosmtplib import (
    SMTPAuthenticationError,
    SMTPConnectError,
    SMTPConnectResponseError,
    SMTPConnectTimeoutError,
    SMTPDataError,
    SMTPException,
    SMTPNotSupported,
    SMTPReadTimeoutError,
    SMTPRecipientRefused,
    SMTPRecipientsRefused,
    SMTPResponseException,
    SMTPSenderRefused,
    SMTPServerDisconnected,
)

from postroom.channels.email.outcomes import MENDABLE_CODES, Phase, outcome_of
from postroom.outbox.model import Cause, Rejected, RetryLater, Trip, Unknown


def caused_by(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def to(code: int, text: str) -> SMTPRecipientsRefused:
    return SMTPRecipientsRefused([SMTPRecipientRefused(code, text, "ann@example.com")])


RETRIED = [
    (to(450, "4.2.0 try later"), Phase.RECIPIENT, Cause.PASSING, Trip.NO),
    (to(451, "4.7.1 greylisted"), Phase.RECIPIENT, Cause.PASSING, Trip.NO),
    (to(452, "4.3.1 no space"), Phase.RECIPIENT, Cause.PASSING, Trip.NO),
    (to(550, "4.2.0 the enhanced code says temporary"), Phase.RECIPIENT, Cause.PASSING, Trip.NO),
    (to(552, "full"), Phase.RECIPIENT, Cause.PASSING, Trip.NO),
    (to(550, "5.2.2 over quota"), Phase.RECIPIENT, Cause.PASSING, Trip.NO),
    (to(530, "5.7.0 authentication required"), Phase.RECIPIENT, Cause.OURS, Trip.NOW),
    (SMTPRecipientRefused(421, "closing", "a@b.example"), Phase.RECIPIENT, Cause.PASSING, Trip.STRIKE),
    (SMTPSenderRefused(451, "4.3.0 later", "us@x.example"), Phase.SENDER, Cause.PASSING, Trip.STRIKE),
    (SMTPSenderRefused(553, "5.7.1 not yours", "us@x.example"), Phase.SENDER, Cause.OURS, Trip.STRIKE),
    (SMTPSenderRefused(530, "login first", "us@x.example"), Phase.SENDER, Cause.OURS, Trip.NOW),
    (SMTPAuthenticationError(535, "5.7.8 no"), Phase.LOGIN, Cause.OURS, Trip.NOW),
    (SMTPAuthenticationError(534, "5.7.9 too weak"), Phase.LOGIN, Cause.OURS, Trip.NOW),
    (SMTPAuthenticationError(538, "5.7.11 encrypt"), Phase.LOGIN, Cause.OURS, Trip.NOW),
    (SMTPAuthenticationError(454, "4.7.0 later"), Phase.LOGIN, Cause.OURS, Trip.NOW),
    (SMTPAuthenticationError(550, "blocked account"), Phase.LOGIN, Cause.OURS, Trip.NOW),
    (SMTPException("no AUTH here"), Phase.LOGIN, Cause.OURS, Trip.NOW),
    (SMTPException("no STARTTLS here"), Phase.CONNECT, Cause.OURS, Trip.NOW),
    (SMTPConnectError("refused"), Phase.CONNECT, Cause.PASSING, Trip.STRIKE),
    (SMTPConnectTimeoutError("slow"), Phase.CONNECT, Cause.PASSING, Trip.STRIKE),
    (SMTPConnectResponseError(421, "busy"), Phase.CONNECT, Cause.PASSING, Trip.STRIKE),
    (SMTPConnectResponseError(554, "your address is blocked"), Phase.CONNECT, Cause.OURS, Trip.STRIKE),
    (ssl.SSLCertVerificationError("self-signed"), Phase.CONNECT, Cause.OURS, Trip.NOW),
    (
        caused_by(SMTPConnectError("x"), ssl.SSLCertVerificationError("self-signed")),
        Phase.CONNECT,
        Cause.OURS,
        Trip.NOW,
    ),
    (SMTPServerDisconnected("gone"), Phase.SENDER, Cause.PASSING, Trip.STRIKE),
    (SMTPReadTimeoutError("slow"), Phase.RECIPIENT, Cause.PASSING, Trip.STRIKE),
    (TimeoutError(), Phase.DATA, Cause.PASSING, Trip.STRIKE),
    (SMTPDataError(451, "4.3.2 system busy"), Phase.DATA, Cause.PASSING, Trip.STRIKE),
    (SMTPDataError(451, "4.7.1 greylisted after all"), Phase.BODY, Cause.PASSING, Trip.NO),
    (SMTPDataError(452, "4.3.1 disk full"), Phase.BODY, Cause.PASSING, Trip.STRIKE),
    (SMTPDataError(552, "5.2.2 full"), Phase.BODY, Cause.PASSING, Trip.NO),
    (SMTPDataError(421, "closing"), Phase.BODY, Cause.PASSING, Trip.STRIKE),
]

REJECTED = [
    (to(550, "5.1.1 unknown"), Phase.RECIPIENT, Cause.PERMANENT),
    (to(550, "unknown"), Phase.RECIPIENT, Cause.PERMANENT),
    (to(553, "no such name"), Phase.RECIPIENT, Cause.PERMANENT),
    (to(450, "5.1.1 the enhanced code says for good"), Phase.RECIPIENT, Cause.PERMANENT),
    (to(550, "5.2.1 disabled"), Phase.RECIPIENT, Cause.PERMANENT),
    (to(550, "5.7.1 relaying denied"), Phase.RECIPIENT, Cause.OURS),
    (to(501, "5.5.4 bad argument"), Phase.RECIPIENT, Cause.OURS),
    (to(501, "syntax"), Phase.RECIPIENT, Cause.OURS),
    (SMTPSenderRefused(552, "5.3.4 too big", "us@x.example"), Phase.SENDER, Cause.PERMANENT),
    (SMTPDataError(552, "5.3.4 too big"), Phase.BODY, Cause.PERMANENT),
    (SMTPDataError(552, "5.7.0 content blocked"), Phase.BODY, Cause.OURS),
    (SMTPDataError(554, "5.7.1 spam"), Phase.BODY, Cause.OURS),
    (SMTPDataError(554, "5.6.0 content"), Phase.BODY, Cause.PERMANENT),
    (SMTPNotSupported("SMTPUTF8"), Phase.SENDER, Cause.PERMANENT),
]

UNKNOWN = [
    SMTPServerDisconnected("gone"),
    SMTPReadTimeoutError("slow"),
    TimeoutError(),
    ConnectionResetError(),
    SMTPResponseException(-1, "no line of SMTP"),
]


@pytest.mark.parametrize(("error", "phase", "cause", "trip"), RETRIED)
def test_what_may_pass_is_tried_again(error: Exception, phase: Phase, cause: Cause, trip: Trip) -> None:
    outcome = outcome_of(error, phase)
    assert isinstance(outcome, RetryLater)
    assert (outcome.cause, outcome.trip) == (cause, trip)
    assert cause is Cause.PASSING or outcome.code in MENDABLE_CODES


@pytest.mark.parametrize(("error", "phase", "cause"), REJECTED)
def test_what_cannot_pass_is_rejected(error: Exception, phase: Phase, cause: Cause) -> None:
    outcome = outcome_of(error, phase)
    assert isinstance(outcome, Rejected)
    assert outcome.cause is cause
    assert outcome.code not in MENDABLE_CODES


@pytest.mark.parametrize("error", UNKNOWN)
def test_no_answer_after_the_body_is_unknown(error: Exception) -> None:
    assert isinstance(outcome_of(error, Phase.BODY), Unknown)


@pytest.mark.parametrize("error", UNKNOWN)
@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.BODY])
def test_no_answer_before_the_body_is_never_unknown(error: Exception, phase: Phase) -> None:
    assert isinstance(outcome_of(error, phase), RetryLater)


def test_while_one_of_the_refused_may_still_pass_the_mail_is_tried_again() -> None:
    gone = SMTPRecipientRefused(550, "5.1.1 unknown", "a@example.com")
    slow = SMTPRecipientRefused(451, "4.7.1 later", "b@example.com")
    assert isinstance(outcome_of(SMTPRecipientsRefused([gone, slow]), Phase.RECIPIENT), RetryLater)
    assert isinstance(outcome_of(SMTPRecipientsRefused([gone]), Phase.RECIPIENT), Rejected)


def test_reasons_are_the_same_for_the_same_fault_and_name_nobody() -> None:
    first = outcome_of(to(550, "5.1.1 <ann@example.com> unknown, id 81f"), Phase.RECIPIENT)
    other = outcome_of(to(550, "5.1.1 <bob@example.com> unknown, id 99c"), Phase.RECIPIENT)
    assert first.reason == other.reason
    assert "550 5.1.1" in first.reason
    assert first.detail == "5.1.1 <a***@example.com> unknown, id 81f"


def test_a_servers_words_can_always_be_stored() -> None:
    outcome = outcome_of(to(550, "5.1.1 \udcff\x00" + "x" * 10_000), Phase.RECIPIENT)
    assert outcome.detail is not None
    assert "\x00" not in outcome.detail
    assert len(outcome.detail.encode()) <= 500
