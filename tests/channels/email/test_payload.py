"""What the channel refuses at publish time, and how a mail is put together."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from email import message_from_bytes, policy
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr

from postroom.base.errors import InvalidPayload, SettingsInvalid
from postroom.channels.email import address, mime
from postroom.channels.email.mime import Content, Stamp
from postroom.channels.email.payload import first_domain, parse, parse_text
from postroom.channels.email.target import Tls, parse_target

PLAIN = {"to": "ann@example.com", "subject": "Hello", "text": "Good day"}
STAMP = Stamp(UUID(int=7), 0, "order 7\r\nBcc: x", datetime(2026, 1, 2, tzinfo=UTC))


def attachment(**changes: object) -> dict[str, Any]:
    return {"attachments": [{"filename": "a.pdf", "content_base64": "YQ==", **changes}]}


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"to": "ann@example.com\nBcc: eve@example.com"}, "to"),
    ({"to": ["ann@example.com", "eve@example.com\r\n"]}, "to[1]"),
    ({"to": "Ann\r\nBcc: eve@example.com <ann@example.com>"}, "to"),
    ({"to": "ann\u2028@example.com"}, "to"),
    ({"to": "nobody"}, "to"),
    ({"to": ""}, "to"),
    ({"to": f"{'x' * 440} <ann@example.com>"}, "to"),
    ({"to": []}, "to"),
    ({"to": 7}, "to"),
    ({"to": ["a@example.com", 7]}, "to[1]"),
    ({"to": [f"a{n}@example.com" for n in range(51)]}, "to"),
    ({"to": [f"a{n}@example.com" for n in range(50)], "cc": "b@example.com"}, "to"),
    ({"cc": "x"}, "cc"),
    ({"bcc": ["x"]}, "bcc[0]"),
    ({"reply_to": "a@example.com\n"}, "reply_to"),
    ({"subject": "a\r\nBcc: eve@example.com"}, "subject"),
    ({"subject": "x" * 501}, "subject"),
    ({"subject": None}, "subject"),
    ({"text": None}, "template"),
    ({"text": "x" * 1_000_001}, "text"),
    ({"template": "receipt"}, "subject"),
    ({"data": {}}, "data"),
    ({"colour": "red"}, "colour"),
    ({"headers": {"X-A": "b\r\nBcc: eve@example.com"}}, "headers.X-A"),
    ({"headers": {"X-A\r\nBcc": "b"}}, "headers.X-A\r\nBcc"),
    ({"headers": {"Bcc": "eve@example.com"}}, "headers.Bcc"),
    ({"headers": {"From": "eve@example.com"}}, "headers.From"),
    ({"headers": {"X-Postroom-Id": "1"}}, "headers.X-Postroom-Id"),
    ({"headers": {"X-A": "1", "x-a": "2"}}, "headers.x-a"),
    ({"headers": {"X-A": "x" * 901}}, "headers.X-A"),
    ({"headers": {"List-Unsubscribe": "<https://x.example/é>"}}, "headers.List-Unsubscribe"),
    (attachment(filename="a\r\nX: y"), "attachments[0].filename"),
    (attachment(filename="../a"), "attachments[0].filename"),
    (attachment(content_type="text"), "attachments[0].content_type"),
    (attachment(content_type="multipart/mixed"), "attachments[0].content_type"),
    (attachment(content_type="text/plain\r\nX: y"), "attachments[0].content_type"),
    (attachment(content_base64="%%%"), "attachments[0].content_base64"),
    (attachment(content_base64=base64.b64encode(b"x" * 1_100).decode()), "attachments"),
    (attachment(size=1), "attachments[0]"),
]


@pytest.mark.parametrize(("changes", "field"), REFUSED)
def test_what_cannot_be_sent_is_refused_with_its_field(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidPayload) as refused:
        parse({**PLAIN, **changes}, attachments_bytes_max=1_000)
    assert refused.value.field == field
    assert "ann@example.com" not in refused.value.detail
    with pytest.raises(InvalidPayload) as again:
        parse_text(json.dumps({**PLAIN, **changes}), attachments_bytes_max=1_000)
    assert (again.value.field, again.value.detail) == (field, refused.value.detail)


@pytest.mark.parametrize("data", [{"object": {"id": "in_1", "paid": [True, None, 1.5]}}, {}, None, "none"])
@pytest.mark.parametrize("more", [{}, {"cc": ["bob@example.com"], "locale": ["de"], "category": None}])
def test_a_text_is_read_as_its_value_is(data: Any, more: dict[str, Any]) -> None:
    body = {"to": "Ann <ann@example.com>", "template": "receipt", "data": data, **more}
    if data == "none":
        del body["data"]
    read = parse_text(json.dumps(body), attachments_bytes_max=1_000)
    assert read.with_data(unsubscribe_url="/u") == parse(body, attachments_bytes_max=1_000).with_data(
        unsubscribe_url="/u"
    )
    with pytest.raises(InvalidPayload, match="data"):
        parse_text(json.dumps({**body, "data": [1]}), attachments_bytes_max=1_000)


def test_a_missing_recipient_is_named() -> None:
    with pytest.raises(InvalidPayload) as refused:
        parse({"subject": "s", "text": "t"}, attachments_bytes_max=0)
    assert refused.value.field == "to"


def test_what_may_be_set_arrives_and_nothing_else_does() -> None:
    payload = {
        **PLAIN,
        "to": ["Ann Example <ann@example.com>", "ANN@example.com"],
        "cc": "cc@example.com",
        "bcc": "bcc@example.com",
        "reply_to": "help@example.com",
        "html": "<p>Good day</p>",
        "headers": {"X-Campaign": "grüße", "List-Unsubscribe": "<https://example.com/u>"},
        **attachment(content_type="text/csv"),
    }
    email = parse(payload, attachments_bytes_max=1_000)
    assert mime.recipients(email) == ("ann@example.com", "cc@example.com", "bcc@example.com")
    content, sender = Content("Grüße", "Good day", "<p>x</p>"), address.sender("shop@x.example")
    raw = mime.write(email, content, sender=sender, stamp=STAMP, utf8=False)
    assert raw.isascii()
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    parsed = message_from_bytes(raw, policy=policy.default)
    assert "Bcc" not in parsed
    assert str(parsed["Subject"]) == "Grüße"
    assert str(parsed["X-Campaign"]) == "grüße"
    assert str(parsed["X-Correlation-Id"]) == "order 7??Bcc: x"
    assert parsed["Message-ID"] == "<00000000-0000-0000-0000-000000000007@x.example>"
    assert [part.get_content_type() for part in parsed.walk() if not part.is_multipart()] == [
        "text/plain",
        "text/html",
        "text/csv",
    ]


@pytest.mark.parametrize("text", ["Shop <shop@localhost>", "shop@shop.example", '"Shop, Ltd." <a@b.example>'])
def test_senders(text: str) -> None:
    assert "@" in address.sender(text).addr_spec


@pytest.mark.parametrize("text", ["", "shop", "Shop <>", "a@b\r\nBcc: c@d", "jörg@example.com", "@x"])
def test_senders_that_cannot_be(text: str) -> None:
    with pytest.raises(ValueError, match="it "):
        address.sender(text)


@pytest.mark.parametrize(
    ("url", "tls", "port"),
    [
        ("smtp://mail.example", Tls.NONE, 25),
        ("smtp://127.0.0.1:2525/", Tls.NONE, 2525),
        ("smtps://u:p@mail.example", Tls.IMPLICIT, 465),
        ("smtp+starttls://u%40x:p%2Fq%3A@mail.example", Tls.STARTTLS, 587),
    ],
)
def test_urls(url: str, tls: Tls, port: int) -> None:
    target = parse_target(SecretStr(url), tls_ca=None)
    assert (target.tls, target.port) == (tls, port)
    if tls is Tls.STARTTLS:
        assert target.username == "u@x"
        assert target.password == SecretStr("p/q:")
    if target.context is not None:
        assert target.context.check_hostname


@pytest.mark.parametrize("host", ["mail.example", "10.0.0.7", "mail.example:2525"])
def test_a_login_is_refused_where_it_would_go_unencrypted(host: str) -> None:
    with pytest.raises(
        SettingsInvalid, match=r"write smtp\+starttls://user:password@host:587 or smtps://"
    ) as refused:
        parse_target(SecretStr(f"smtp://u:hunter2@{host}"), tls_ca=None)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]:25", "localhost:2525"])
def test_a_login_on_this_machine_needs_no_encryption(host: str) -> None:
    assert parse_target(SecretStr(f"smtp://u:p@{host}"), tls_ca=None).username == "u"


@pytest.mark.parametrize(
    "url",
    ["", "mail.example", "http://mail.example", "smtp://", "smtp://h:hunter2", "smtp://u@h", "smtp://h/x", "smtp://h?a=hunter2"],
)  # fmt: skip
def test_urls_that_cannot_be_are_refused_without_being_shown(url: str) -> None:
    with pytest.raises(SettingsInvalid, match="POSTROOM_EMAIL__URL") as refused:
        parse_target(SecretStr(url), tls_ca=None)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("payload", "domain"),
    [
        ('{"to": "ann@Example.COM"}', "example.com"),
        ('{"to": ["Ann <ann@a.example> ", "bob@b.example"], "cc": "x@c.example"}', "a.example"),
        ('{"$": "event:1:…", "to": "\\"a@b\\" <ann@a.example>"}', "a.example"),
        ('{"to": "ann@bücher.example"}', "xn--bcher-kva.example"),
        ('{"to": "ann@bü cher.example"}', None),
        ('{"to": []}', None),
        ('{"to": {"a": 1}}', None),
        ('{"text": "t"}', None),
        ("[1]", None),
        ("{", None),
        ('{"x": ' + "[" * 5_000 + "]" * 5_000 + "}", None),
    ],
)
def test_the_domain_of_a_mail_is_that_of_its_first_recipient(payload: str, domain: str | None) -> None:
    assert first_domain(payload) == domain
