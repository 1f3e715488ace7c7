"""What the servers that teams send through say, and what it means. Each with its source."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from aiosmtplib import SMTPDataError, SMTPRecipientRefused, SMTPRecipientsRefused, SMTPSenderRefused

from postroom.channels.email.address import mask_these
from postroom.channels.email.answer import QUOTA_S, THROTTLED_S, mail_id
from postroom.channels.email.outcomes import Phase, outcome_of
from postroom.outbox.model import Cause, Rejected, RetryLater, Trip

SES = "docs.aws.amazon.com/ses/latest/dg/troubleshoot-smtp.html"
SES_QUOTAS = "docs.aws.amazon.com/ses/latest/dg/manage-sending-quotas-errors.html"
GMAIL = "support.google.com/a/answer/3726730"
SENDGRID = "www.twilio.com/docs/sendgrid/for-developers/sending-email/smtp-errors-and-troubleshooting"
SMTP2GO = "support.smtp2go.com/hc/en-gb/articles/13990494697369-Common-Sending-Errors"
MAILGUN = "what Mailgun's API and SMTP say of a sandbox domain"
POSTMARK = "Postmark's API error 400; its SMTP repeats the words"
EXIM = "Exim, src/smtp_in.c and src/receive.c"
POSTFIX = "Postfix, src/smtpd/smtpd.c"
OUTLOOK = "www.spamresource.com/2023/09/microsoft-multiple-types-of-invalid.html"
RFC = "RFC 5321, 4.2.2"


@dataclass(frozen=True)
class Means:
    """What must come out. `after_s`: how long nothing goes out."""

    retried: bool
    cause: Cause
    trip: Trip = Trip.NO
    after_s: float | None = None


TOO_LARGE = NOBODY_THERE = Means(retried=False, cause=Cause.PERMANENT)
FULL = GREYLISTED = Means(retried=True, cause=Cause.PASSING)
SLOWER = Means(retried=True, cause=Cause.PASSING, trip=Trip.NOW, after_s=THROTTLED_S)
QUOTA = Means(retried=True, cause=Cause.PASSING, trip=Trip.NOW, after_s=QUOTA_S)
OURS = Means(retried=True, cause=Cause.OURS, trip=Trip.STRIKE)
POLICY = Means(retried=False, cause=Cause.OURS)
SERVER = Means(retried=True, cause=Cause.PASSING, trip=Trip.STRIKE)

SAID = [
    (SES, Phase.BODY, 552, "Message is too long.", TOO_LARGE),
    (EXIM, Phase.SENDER, 552, "Message size exceeds maximum permitted", TOO_LARGE),
    (EXIM, Phase.BODY, 552, "Message size exceeds maximum permitted", TOO_LARGE),
    (POSTFIX, Phase.SENDER, 552, "5.3.4 Message size exceeds fixed limit", TOO_LARGE),
    (POSTFIX, Phase.BODY, 552, "5.3.4 Error: message file too big", TOO_LARGE),
    (GMAIL, Phase.BODY, 552, "5.3.4 Your message exceeded Google's message size limits.", TOO_LARGE),
    (RFC, Phase.BODY, 552, "Requested mail action aborted: exceeded storage allocation", FULL),
    (GMAIL, Phase.RECIPIENT, 552, "5.2.2 The email account that you tried to reach is over quota.", FULL),
    (GMAIL, Phase.RECIPIENT, 452, "4.2.2 The email account that you tried to reach is over quota.", FULL),
    (SES_QUOTAS, Phase.BODY, 454, "Throttling failure: Maximum sending rate exceeded.", SLOWER),
    (SES_QUOTAS, Phase.SENDER, 454, "Throttling failure: Maximum sending rate exceeded.", SLOWER),
    (SES_QUOTAS, Phase.BODY, 454, "Throttling failure: Daily message quota exceeded.", QUOTA),
    (GMAIL, Phase.BODY, 550, "5.4.5 Daily user sending limit exceeded.", QUOTA),
    (GMAIL, Phase.RECIPIENT, 450, "4.2.1 Peak SMTP relay limit exceeded for customer.", SLOWER),
    (GMAIL, Phase.RECIPIENT, 450, "4.2.1 The user is receiving mail too quickly.", GREYLISTED),
    (SES, Phase.BODY, 421, "Too many concurrent SMTP connections", SERVER),
    (SENDGRID, Phase.BODY, 450, "too frequent connects from 192.0.2.7, please try again later.", SLOWER),
    (SENDGRID, Phase.BODY, 451, "Authentication failed: Maximum credits exceeded", QUOTA),
    (SENDGRID, Phase.SENDER, 550, "You are not authorized to send from that email address", OURS),
    (SES, Phase.BODY, 554, "Message rejected: Email address is not verified.", OURS),
    (SES, Phase.BODY, 554, "Message rejected: Sending suspended for this account.", OURS),
    (SMTP2GO, Phase.BODY, 550, "From header sender domain not verified", OURS),
    (POSTMARK, Phase.BODY, 550, "The 'From' address is not a Sender Signature on your account.", OURS),
    (MAILGUN, Phase.BODY, 554, "Sandbox subdomains are for test purposes only.", OURS),
    (GMAIL, Phase.BODY, 550, "5.7.26 This message does not have authentication information.", POLICY),
    (GMAIL, Phase.BODY, 550, "5.7.28 An unusual rate of mail. It has been rate limited and blocked.", POLICY),
    (POSTFIX, Phase.RECIPIENT, 554, "5.7.1 <ann@example.com>: Relay access denied", POLICY),
    (OUTLOOK, Phase.RECIPIENT, 550, "5.5.0 Requested action not taken: mailbox unavailable", NOBODY_THERE),
    (OUTLOOK, Phase.RECIPIENT, 550, "5.4.1 Recipient address rejected: Access denied.", NOBODY_THERE),
    (GMAIL, Phase.RECIPIENT, 550, "5.1.1 The email account does not exist.", NOBODY_THERE),
    (POSTFIX, Phase.RECIPIENT, 450, "4.1.1 <ann@example.com>: not verified yet", GREYLISTED),
]  # fmt: skip


@pytest.mark.parametrize(("source", "phase", "code", "text", "means"), SAID)
def test_what_a_server_says(source: str, phase: Phase, code: int, text: str, means: Means) -> None:
    outcome = outcome_of(_refusal(phase, code, text), phase)
    assert isinstance(outcome, RetryLater if means.retried else Rejected), source
    assert outcome.cause is means.cause
    if isinstance(outcome, RetryLater):
        assert (outcome.trip, outcome.after_s) == (means.trip, means.after_s)


def _refusal(phase: Phase, code: int, text: str) -> Exception:
    match phase:
        case Phase.RECIPIENT:
            return SMTPRecipientsRefused([SMTPRecipientRefused(code, text, "ann@example.com")])
        case Phase.SENDER:
            return SMTPSenderRefused(code, text, "shop@shop.example")
    return SMTPDataError(code, text)


def test_a_servers_id_is_kept_and_our_addresses_are_not() -> None:
    said = "2.6.0 <19.ab+c@mx.example> [InternalId=42] Ann.B@Example.com Queued"
    kept = mask_these(said, ["ann.b@example.com", "bob@example.com"])
    assert kept == "2.6.0 <19.ab+c@mx.example> [InternalId=42] A***@Example.com Queued"


SES_ID = "0102018f2c1e1b2a-93fdd7ea-f039-43d6-91ed-653e8547867c-000000"


@pytest.mark.parametrize(
    ("answer", "known_as"),
    [
        (f"Ok {SES_ID}", SES_ID),
        ("2.0.0 Ok: queued as 4XyZ7q1Jz9", "4XyZ7q1Jz9"),
        ("Ok: queued as bdT3qimVR7SSpBEKunexIg", "bdT3qimVR7SSpBEKunexIg"),
        ("2.0.0 OK: queued as <42.ab@smtp-relay.example>", "42.ab@smtp-relay.example"),
        ("OK id=1sAbCd-00000001Ab-2cDe", "1sAbCd-00000001Ab-2cDe"),
        ("2.6.0 <42@mx.example> [InternalId=17, Hostname=mx] Queued mail for delivery", "42@mx.example"),
        ("2.0.0 45SAbC12345 Message accepted for delivery", "45SAbC12345"),
        ("Great success", None),
        ("Ok", None),
        ("2.0.0 OK", None),
        ("2.0.0 Ok: queued as a***@example.com", None),
        ("", None),
    ],
)
def test_the_id_under_which_a_server_took_a_mail(answer: str, known_as: str | None) -> None:
    """SES: docs.aws.amazon.com/ses/latest/dg/send-email-smtp-client-command-line.html.

    Postfix, SendGrid and Brevo queue; Exim: `id=`; Exchange and Sendmail name it before their words.
    """
    assert mail_id(answer) == known_as
