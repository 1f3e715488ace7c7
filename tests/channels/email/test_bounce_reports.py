"""What reports say: texts as servers write them, and what nobody should believe."""

from __future__ import annotations

from email.message import EmailMessage
from uuid import UUID

import pytest
from pydantic import ValidationError

from postroom.base.email_settings import EmailSettings, bounces_faults
from postroom.base.errors import SettingsInvalid
from postroom.channels.email.bounces.imap import parse_place
from postroom.channels.email.bounces.reports import Report, Told, read_report
from postroom.channels.email.bounces.return_path import Sent, find_sent, return_path
from postroom.channels.email.events.model import Kind

ID = UUID("0192f1c0-0000-7000-8000-000000000001")
AT = 1_793_534_430.7
SETTINGS = EmailSettings.model_validate(
    {"bounces_address": "bounces+*@mail.shop.example", "bounces_secrets": "the new one, the old one"}
)


def report(status: str, *, kind: str = "delivery-status", to: str = "b@shop.example") -> bytes:
    return (
        f"To: {to}\nContent-Type: multipart/report; report-type={kind}; boundary=b\n\n"
        "--b\n\nThis is the mail system.\n"
        f"--b\nContent-Type: message/{kind}\n\n{status}\n"
        "--b\nContent-Type: message/rfc822\n\nReturn-Path: <back@shop.example>\nSubject: Hi\n\nHi\n--b--\n"
    ).encode()


def told(fields: str) -> Told:
    read = read_report(
        report(f"Reporting-MTA: dns; mx.example\n\nFinal-Recipient: rfc822; a@b.example\n{fields}")
    )
    assert read is not None
    [only] = read.told
    assert only.names[-1] == "a@b.example"
    return only


def failed(status: str, diagnostic: str) -> str:
    return f"Action: failed\nStatus: {status}\nDiagnostic-Code: {diagnostic}"


HARD = {
    "Postfix": failed(
        "5.1.1",
        "smtp; 550 5.1.1 <a@b.example>: Recipient address\n"
        "    rejected: User unknown in virtual mailbox table",
    ),
    "Postfix, its own mailboxes": failed("5.1.1", 'X-Postfix; unknown user: "a"'),
    "Postfix, no such domain": failed(
        "5.4.4",
        "X-Postfix; Host or domain name not found. Name service\n"
        "    error for name=b.example type=AAAA: Host not found",
    ),
    "Exim": failed("5.0.0", "smtp; 550 No such user\nRemote-MTA: dns; mx.b.example"),
    "Exchange": failed(
        "5.1.10",
        "smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient a@b.example not found",
    ),
    "Gmail": failed(
        "5.1.1",
        "smtp; 550-5.1.1 The email account that you tried to\n reach does not exist. Please try\n"
        " 550-5.1.1 double-checking the recipient's email address",
    ),
    "Gmail, inactive": failed(
        "5.2.1", "smtp; 550-5.2.1 The email account that you tried to reach is inactive."
    ),
    "Outlook": failed(
        "5.5.0", "smtp;550 5.5.0 Requested action not taken: mailbox unavailable (S2017062302)."
    ),
}
SOFT = {
    "mailbox full": failed("5.2.2", "smtp; 552 5.2.2 The email account is over quota"),
    "mailbox full, no code": failed("5.0.0", "smtp; 552 Mailbox quota exceeded"),
    "too large": failed("5.3.4", "smtp; 552 5.3.4 Message size exceeds fixed limit"),
    "too large, no code": failed("5.0.0", "smtp; 552 Message size exceeds maximum permitted"),
    "policy": failed("5.7.1", "smtp; 550 5.7.1 Rejected due to DMARC policy: unknown user"),
    "spam, no code": failed("5.0.0", "smtp; 550 Rejected: this looks like spam"),
    "content": failed("5.6.0", "smtp; 554 5.6.0 Invalid message content"),
    "our address": failed("5.1.8", "smtp; 550 5.1.8 Sender address unknown"),
    "our account": failed("5.0.0", "smtp; 554 Message rejected: Email address is not verified."),
    "loop": failed("5.4.6", "X-Postfix; mail for b.example loops back to myself"),
    "given up": failed("4.4.1", "X-Postfix; connect to mx.b.example[192.0.2.1]:25: timed out"),
    "given up after refusals": failed("4.2.0", "smtp; 550 5.1.1 User unknown, said to be passing"),
    "given up by Exim": "Action: failed\nStatus: 5.0.0",
    "nothing": "Action: failed",
}


@pytest.mark.parametrize("fields", HARD.values(), ids=HARD)
def test_the_address_is_no_good(fields: str) -> None:
    assert (told(fields).kind, told(fields).permanent) == (Kind.BOUNCED, True)


@pytest.mark.parametrize("fields", SOFT.values(), ids=SOFT)
def test_the_address_may_be_good(fields: str) -> None:
    read = told(fields)
    assert (read.kind, read.permanent) == (Kind.BOUNCED, False)


def test_what_was_said_is_kept() -> None:
    assert told(HARD["Postfix"]).reason == (
        "550 5.1.1 <a@b.example>: Recipient address rejected: User unknown in virtual mailbox table"
    )
    assert told(SOFT["given up"]).reason.startswith("450 4.4.1 connect to mx.b.example")


def test_a_delay_and_a_delivery_are_told_and_suppress_nobody() -> None:
    delayed = "Action: delayed\nStatus: 4.4.1\nWill-Retry-Until: Sun, 1 Nov 2026 12:00:00 +0000"
    assert (told(delayed).kind, told(delayed).permanent) == (Kind.DEFERRED, False)
    wrong = told("Action: delayed\nStatus: 5.1.1")
    assert (wrong.kind, wrong.permanent) == (Kind.DEFERRED, False)
    assert told("Action: delivered\nStatus: 2.1.5").kind is Kind.DELIVERED


def test_each_recipient_is_told_by_both_of_its_names_and_not_more_than_a_mail_has() -> None:
    block = (
        "\n\nOriginal-Recipient: rfc822;Bob@b.example"
        "\nFinal-Recipient: rfc822; <bob@gmail.example>\nAction: failed"
    )
    read = read_report(report("Reporting-MTA: dns; mx.example" + block * 80))
    assert read is not None
    assert [each.names for each in read.told] == [("Bob@b.example", "bob@gmail.example")] * 50


def test_a_complaint() -> None:
    """RFC 5965, as Yahoo sends it: no recipient, but our return path."""
    fields = "Feedback-Type: {}\nUser-Agent: Yahoo!-Mail-Feedback/2.0\nOriginal-Mail-From: <x@y.example>"
    read = read_report(report(fields.format("abuse"), kind="feedback-report"))
    assert read == Report("b@shop.example\n<x@y.example>\n<back@shop.example>", (Told(Kind.COMPLAINED, ()),))
    named = read_report(
        report(fields.format("abuse") + "\nOriginal-Rcpt-To: <a@b.example>", kind="feedback-report")
    )
    assert named is not None
    assert named.told == (Told(Kind.COMPLAINED, ("a@b.example",)),)
    other = read_report(report(fields.format("not-spam"), kind="feedback-report"))
    assert other is not None
    assert other.told == ()


def test_headers_alone_may_be_returned() -> None:
    cut = report("Reporting-MTA: dns; x").replace(b"message/rfc822", b"text/rfc822-headers")
    read = read_report(cut)
    assert read is not None
    assert read.addresses == "b@shop.example\n<back@shop.example>"


def test_a_report_that_was_cut_off_is_read_as_far_as_it_goes() -> None:
    whole = report(f"Reporting-MTA: dns; x\n\nFinal-Recipient: rfc822; a@b.example\n{HARD['Postfix']}\n")
    read = read_report(whole[: whole.index(b"Return-Path")])
    assert read is not None
    assert read.told[0].permanent


def deep() -> bytes:
    nested = "".join(f"Content-Type: multipart/report; boundary=b{n}\n\n--b{n}\n" for n in range(5_000))
    return nested.encode()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff\x00",
        b"Subject: I am away\n\nFinal-Recipient: rfc822; a@b.example\nAction: failed",
        b"Content-Type: multipart/report",
        b"Content-Type: multipart/report; boundary=b\n\n--b\nContent-Type: message/delivery-status\n\n\xff",
        deep(),
    ],
    ids=["empty", "bytes", "absence", "no parts", "no status", "deep"],
)
def test_what_is_no_report_tells_nothing(raw: bytes) -> None:
    read = read_report(raw)
    assert read is None or read.told == ()


def test_a_report_within_a_forwarded_mail_is_none() -> None:
    outer = EmailMessage()
    outer.set_content("see below")
    outer.add_attachment(report(HARD["Postfix"]), maintype="message", subtype="x-report")
    assert read_report(bytes(outer)) is None


def test_the_return_path_names_the_sending() -> None:
    made = return_path(SETTINGS, ID, AT)
    assert made is not None
    local, _, domain = made.partition("@")
    assert (domain, len(local) <= 64, local.startswith("bounces+")) == ("mail.shop.example", True, True)
    sent = Sent(ID, 1_793_534_430_700 & 0xFFFFFFFF)
    assert find_sent(SETTINGS, f"x <other@mail.shop.example>\n<{made.upper()}>") == sent
    rolled = SETTINGS.model_copy(update={"bounces_secrets": None})
    assert return_path(rolled, ID, AT) is None
    assert find_sent(rolled, made) is None


def test_a_secret_that_was_rolled_is_believed_until_it_is_taken_out() -> None:
    def with_secrets(text: str) -> EmailSettings:
        return EmailSettings.model_validate(
            {**SETTINGS.model_dump(include={"bounces_address"}), "bounces_secrets": text}
        )

    made = return_path(with_secrets("the old one"), ID, AT)
    assert made is not None
    assert find_sent(SETTINGS, made) is not None
    assert find_sent(with_secrets("the new one"), made) is None


def test_a_mark_that_was_changed_is_not_believed() -> None:
    made = return_path(SETTINGS, ID, AT)
    assert made is not None
    start = made.index("+") + 1
    for position in range(start, start + 48):
        other = "a" if made[position] != "a" else "b"
        assert find_sent(SETTINGS, made[:position] + other + made[position + 1 :]) is None
    many = "\n".join([f"bounces+{'a' * 48}@mail.shop.example"] * 1_000)
    assert find_sent(SETTINGS, many) is None


@pytest.mark.parametrize(
    "address", ["bounces@shop.example", "*@*", "B*@x", f"{'b' * 17}*@x.example", "b+*@", "b*c@x.example"]
)
def test_an_address_without_room_for_the_mark_is_refused(address: str) -> None:
    with pytest.raises(ValidationError, match=r"bounces\+\*@mail\.shop\.example"):
        EmailSettings.model_validate({"bounces_address": address})


def test_settings_of_no_use_alone_are_told() -> None:
    alone = EmailSettings.model_validate({"bounces_secrets": "s"})
    unread = EmailSettings.model_validate({"bounces_url": "imaps://u:pass@mx.example"})
    assert [len([*bounces_faults(each)]) for each in (alone, unread, SETTINGS, EmailSettings())] == [
        1,
        1,
        0,
        0,
    ]


@pytest.mark.parametrize(
    "url",
    [
        "imap://u:secret@mx.example/INBOX",  # the password would go in the clear
        "imaps://mx.example/INBOX",
        "imaps://u@mx.example",
        "pop3://u:secret@mx.example",
        "imaps://u:secret@mx.example:port",
        "imaps://u%0d%0a1%20LOGOUT:secret@mx.example",
        "imaps://u:secret@mx.example/B%C3%BCro",
        "imaps://u:secret@mx.example/INBOX?x=1",
    ],
)
def test_a_mailbox_that_cannot_be_meant_is_refused_without_its_password(url: str) -> None:
    settings = EmailSettings.model_validate({"bounces_url": url})
    assert settings.bounces_url is not None
    with pytest.raises(SettingsInvalid, match="POSTROOM_EMAIL__BOUNCES_URL") as refused:
        parse_place(settings.bounces_url, tls_ca=None)
    assert "secret" not in str(refused.value.faults)


def test_a_mailbox() -> None:
    url = EmailSettings.model_validate(
        {"bounces_url": "imaps://b%40shop.example:p%2Fq%3A@mx.example/INBOX/Bounces"}
    ).bounces_url
    assert url is not None
    place = parse_place(url, tls_ca=None)
    assert (place.host, place.port, place.user, place.folder) == (
        "mx.example",
        993,
        "b@shop.example",
        "INBOX/Bounces",
    )
    assert place.password.get_secret_value() == "p/q:"
