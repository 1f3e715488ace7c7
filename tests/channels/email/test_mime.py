"""A message reads the same whichever way its headers took: as they stand, or parsed and folded."""

from __future__ import annotations

from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from html import unescape
from unittest.mock import patch
from uuid import UUID

import pytest
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


def raw_of(email: Email, content: Content, *, stamp: Stamp = STAMP, utf8: bool = False) -> bytes:
    return mime.write(email, content, sender=SENDER, stamp=stamp, utf8=utf8)


def written(email: Email, content: Content) -> EmailMessage:
    raw = raw_of(email, content)
    assert raw.isascii()
    assert b"\n" not in raw.replace(b"\r\n", b"")
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    parsed = message_from_bytes(raw, policy=policy.default)
    assert isinstance(parsed, EmailMessage)
    assert not [each.defects for each in parsed.walk() if each.defects]
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
    raw = raw_of(plain(), Content("word " * 60, "y", None))
    assert max(map(len, raw.split(b"\r\n"))) <= 78


URL = "https://shop.example/leave/" + "t" * 200
LONG = {
    "List-Unsubscribe": (f"<{URL}>, <mailto:leave@shop.example?subject={'s' * 60}>",
                         f"<{URL}>,\r\n <mailto:leave@shop.example?subject={'s' * 60}>"),
    "List-Unsubscribe-Post": ("List-Unsubscribe=One-Click", "List-Unsubscribe=One-Click"),
    "In-Reply-To": (f"<{'m' * 90}@shop.example>", f"<{'m' * 90}@shop.example>"),
    "References": (" ".join(f"<{'m' * 40}{n}@shop.example>" for n in range(3)),
                   "\r\n ".join(f"<{'m' * 40}{n}@shop.example>" for n in range(3))),
    "X-Own": ("one  two " + "w" * 70, "one  two\r\n " + "w" * 70),
}  # fmt: skip


def test_a_structured_header_is_folded_at_its_spaces_and_never_encoded() -> None:
    email = plain(headers={name: value for name, (value, _) in LONG.items()})
    raw = raw_of(email, Content("x", "y", None))
    for name, (_, folded) in LONG.items():
        assert f"\r\n{name}: {folded}\r\n".encode() in raw
    assert b"=?" not in raw


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=900))
@example("x" * 900)
@example("  " + "x" * 80 + "  ")
def test_what_is_ascii_comes_out_as_it_went_in(value: str) -> None:
    stamp = Stamp(UUID(int=7), 0, value, datetime(2026, 1, 2, tzinfo=UTC))
    email = plain(headers={"References": value})
    raw = raw_of(email, Content("x", "y", None), stamp=stamp)
    unfolded = raw.replace(b"\r\n ", b" ")
    for name in ("References", "X-Correlation-Id"):
        assert f"\r\n{name}: {value}\r\n".encode() in unfolded
    head = raw.partition(b"\r\n\r\n")[0].split(b"\r\n")
    assert not [line for line in head if not line.strip() or len(line) > 998]


def test_a_mail_says_that_no_person_wrote_it_unless_told_otherwise() -> None:
    assert written(plain(), Content("x", "y", None)).get_all("Auto-Submitted") == ["auto-generated"]
    own = written(plain(headers={"auto-submitted": "no"}), Content("x", "y", None))
    assert own.get_all("Auto-Submitted") == ["no"]


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
    raw = raw_of(email, Content("x", "y", None), utf8=True)
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


def html_part(html: str) -> EmailMessage:
    part = written(plain(), Content("x", "y", html)).get_body(("html",))
    assert isinstance(part, EmailMessage)
    return part


@given(st.text(st.characters(codec="utf-8", exclude_categories=["C"], exclude_characters="&<>")))
@example("é" * 100)
def test_html_reads_the_same_whether_encoded_or_in_references(text: str) -> None:
    part = html_part(f"<style>p {{ color: red }}</style><p>{text}</p>")
    assert unescape(part.get_content().strip()) == f"<style>p {{ color: red }}</style><p>{text}</p>".strip()


@pytest.mark.parametrize(
    "html",
    [
        "<style>p::before { content: 'é' }</style><p>é</p>",
        "<style>p { color: red }</style><p>é</p><STYLE>p::before { content: 'é' }</STYLE>",
        "<p>é</p><SCRIPT>'é'</SCRIPT>",
        f"<p>é{'x' * 999}</p>",
        "x" * 999,
    ],
)
def test_html_that_references_would_change_and_long_lines_are_encoded(html: str) -> None:
    part = html_part(html)
    assert part["Content-Transfer-Encoding"] == "quoted-printable"
    assert part.get_content().strip() == html


def test_html_goes_out_as_it_stands_where_that_will_do() -> None:
    part = html_part("<style>a { color: red }</style><p>\u20ac\u00a05</p>\n<p>.</p>\n.\n")
    assert part["Content-Transfer-Encoding"] is None
    assert part.get_payload() == "<style>a { color: red }</style><p>&#8364;&#160;5</p>\r\n<p>.</p>\r\n.\r\n"
