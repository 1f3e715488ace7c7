"""A message reads the same whichever way its headers took: as they stand, or parsed and folded."""

from __future__ import annotations

from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from unittest.mock import patch
from uuid import UUID

from hypothesis import example, given
from hypothesis import strategies as st

from postroom.base.errors import InvalidPayload
from postroom.channels.email import address, mime
from postroom.channels.email.mime import Content, Stamp
from postroom.channels.email.payload import Email, parse

STAMP = Stamp(UUID(int=7), 0, "order 7", datetime(2026, 1, 2, tzinfo=UTC))
SENDER = address.sender('"Shop, Ltd." <shop@x.example>')
PIECES = ("Zoë", "Hello", '"', "=?utf-8?q?x?=", ",", "<b>", "(c)", "\\", "x" * 90, "@", "é" * 40, ";", "")
LINES = st.lists(st.sampled_from(PIECES), max_size=8).map(" ".join).map(str.strip)


def written(email: Email, content: Content) -> EmailMessage:
    message = mime.build(email, content, sender=SENDER, stamp=STAMP)
    raw = mime.to_bytes(message, utf8=False)
    assert raw == message.as_bytes(policy=message.policy)  # what the library's own generator writes
    assert raw.isascii()
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    parsed = message_from_bytes(raw, policy=policy.default)
    assert isinstance(parsed, EmailMessage)
    return parsed


def both_ways(email: Email, content: Content) -> EmailMessage:
    quick = written(email, content)
    with patch.object(mime, "_is_plain", return_value=False):
        slow = written(email, content)
    seen = [[(name, " ".join(str(value).split())) for name, value in each.items()] for each in (quick, slow)]
    assert [pair for pair in seen[0] if pair[0] != "Content-Type"] == [
        pair
        for pair in seen[1]
        if pair[0] != "Content-Type"  # the boundary is another each time
    ]
    return quick


def plain(**more: object) -> Email:
    return parse({"to": "ann@example.com", "subject": "x", "text": "y", **more}, attachments_bytes_max=1_000)


@given(LINES, LINES)
def test_subjects_and_own_headers(subject: str, own: str) -> None:
    parsed = both_ways(plain(headers={"X-Own": own or "x"}), Content(subject, "Good day", "<p>x</p>"))
    assert [part.get_content_type() for part in parsed.walk()][1:] == ["text/plain", "text/html"]


def test_a_long_subject_is_folded() -> None:
    message = mime.build(plain(), Content("word " * 60, "y", None), sender=SENDER, stamp=STAMP)
    raw = mime.to_bytes(message, utf8=False)
    assert max(map(len, raw.split(b"\r\n"))) <= 78


@given(LINES)
@example('" eve@x.example, ' + "x" * 90)
@example('é", eve@x.example, ' + "x" * 90)
def test_names_of_receivers(name: str) -> None:
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    try:
        email = plain(to=[f'"{quoted}" <ann@example.com>', "bob@example.com"], reply_to="help@x.example")
    except InvalidPayload:
        return  # refused when it is published
    parsed = written(email, Content("x", "y", None))
    assert [each.addr_spec for each in parsed["To"].addresses] == ["ann@example.com", "bob@example.com"]
    if "=?" not in name:
        shown = parsed["To"].addresses[0].display_name
        assert "".join(shown.split()) == "".join(email.to[0].display_name.split())
    assert parsed["From"].addresses[0].display_name == "Shop, Ltd."
    assert parsed["Reply-To"].addresses[0].addr_spec == "help@x.example"


def test_an_address_outside_ascii_is_shown_as_it_is() -> None:
    email = plain(to="jörg@example.com", reply_to='"Zoë, B." <zoë@example.com>')
    assert mime.needs_utf8(email)
    assert mime.needs_utf8(plain(reply_to="zoë@example.com"))
    raw = mime.to_bytes(mime.build(email, Content("x", "y", None), sender=SENDER, stamp=STAMP), utf8=True)
    assert "To: jörg@example.com\r\n" in raw.decode()
    assert "<zoë@example.com>\r\n" in raw.decode()


@given(st.text(st.characters(codec="utf-8")))
def test_texts(text: str) -> None:
    body = written(plain(), Content("x", text, f"<p>{text}</p>")).get_body(("plain",))
    assert body is not None
    # A mail knows one way to end a line.
    assert "".join(body.get_content().split()) == "".join(text.split())


def test_a_mail_with_attachments_keeps_every_part() -> None:
    files = [
        {"filename": f"Rechnung ü{n}.pdf", "content_base64": "YQ==", "content_type": "application/pdf"}
        for n in range(2)
    ]
    parsed = written(plain(attachments=files), Content("x", "text", "<p>x</p>"))
    assert [part.get_content_type() for part in parsed.walk()] == [
        "multipart/mixed", "multipart/alternative", "text/plain", "text/html", *["application/pdf"] * 2,
    ]  # fmt: skip
    assert [each.get_filename() for each in parsed.iter_attachments()] == [
        "Rechnung ü0.pdf",
        "Rechnung ü1.pdf",
    ]
    assert len({part.get_boundary() for part in parsed.walk() if part.is_multipart()}) == 2
