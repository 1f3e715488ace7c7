"""Templates, routes, headers and file names that try to get out.

More: tests/channels/email/test_template.py and tests/channels/stripe/test_routes.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from jinja2 import TemplateError
from jinja2.exceptions import SecurityError

from postroom.base.errors import InvalidPayload
from postroom.channels.email import payload as email_payload
from postroom.channels.email.template import TemplateFailed, TemplateFolders, Templates
from postroom.channels.exports.model import check_payload
from postroom.channels.stripe.expressions import compile_value

ESCAPES = [
    "{{ ''.__class__.__base__.__subclasses__() }}",
    "{{ ''['__class__'] }}",
    "{{ ''|attr('__class__') }}",
    "{{ ''|attr('__cla' ~ 'ss__') }}",
    "{{ ''|attr('\\x5f\\x5fclass\\x5f\\x5f') }}",
    "{{ [''|attr('__class__')]|map(attribute='__mro__')|list }}",
    "{{ (['']|map(attribute='__class__')|list)[0].__mro__ }}",
    "{{ ['']|map('attr', '__class__')|first }}",
    "{{ (['']|groupby('__class__'))[0][0].__mro__ }}",
    "{{ ['']|sum(attribute='__class__') }}",
    "{{ '{0.__class__.__mro__}'.format('') }}",
    "{{ ('{0.__cl' ~ 'ass__}').format('') }}",
    "{{ '{x.__class__}'.format_map({'x': ''}) }}",
    "{% set f = '{0.__class__}'.format %}{{ f('') }}",
    "{{ ['{0.__class__}']|map('format', '')|first }}{{ ''.__class__ }}",
    "{{ ''.format.__self__.__class__ }}",
    "{{ lipsum.__globals__ }}",
    "{{ lipsum|attr('__globals__') }}",
    "{{ cycler.__init__.__globals__.os }}",
    "{{ joiner.__init__.__globals__ }}",
    "{{ namespace.__init__.__globals__ }}",
    "{{ dict.__base__ }}",
    "{{ range.__class__ }}",
    "{{ (1).__class__ }}",
    "{{ [].append.__self__.__class__ }}",
    "{{ [].append(1) }}",
    "{{ {}.update({'a': 1}) }}",
    "{% for x in (1,) %}{{ loop.__class__ }}{% endfor %}",
    "{% macro m() %}{{ m.__globals__ }}{% endmacro %}{{ m() }}",
    "{% macro m() %}{{ caller.__globals__ }}{% endmacro %}{% call m() %}{% endcall %}",
    "{{ self._TemplateReference__context.environment }}{{ self.__class__ }}",
    "{{ (x for x in ()).gi_frame }}",
    "{{ config }}",
    "{{ request }}",
    "{{ range(1000000000)|list }}",
]


@pytest.mark.parametrize("escape", ESCAPES)
def test_no_escape_works_in_a_mail_template(tmp_path: Path, escape: str) -> None:
    for kind in ("subject", "mjml"):
        (tmp_path / f"evil.{kind}").write_text("<mjml></mjml>" if kind == "mjml" else "s")
    (tmp_path / "evil.txt").write_text(escape)
    with pytest.raises(TemplateFailed):
        Templates(TemplateFolders(tmp_path)).render("evil", {})


@pytest.mark.parametrize("escape", ESCAPES)
def test_no_escape_works_in_a_route(escape: str) -> None:
    context = {"event": {"id": "evt_1"}, "object": {"id": "in_1"}, "previous": {}}
    with pytest.raises((TemplateError, SecurityError, OverflowError, TypeError)):
        compile_value(escape)(context)


def test_data_is_never_a_template(tmp_path: Path) -> None:
    for kind, text in (("subject", "s"), ("txt", "{{ name }}"), ("mjml", MJML)):
        (tmp_path / f"plain.{kind}").write_text(text)
    shown = Templates(TemplateFolders(tmp_path)).render("plain", {"name": "{{ 7 * 7 }}<script>x</script>"})
    assert shown.text == "{{ 7 * 7 }}<script>x</script>"
    assert "49" not in shown.text
    assert "<script>" not in shown.html


MJML = (
    "<mjml><mj-body><mj-section><mj-column><mj-text>{{ name }}</mj-text>"
    "</mj-column></mj-section></mj-body></mjml>"
)

TRAVERSALS = [
    "../receipt", "../../etc/passwd", "/etc/passwd", "..", ".", "", "receipt/../receipt", "receipt\x00",
    "receipt\n", "..%2freceipt", "receipt.txt", "a\\b", "C:receipt", "~root", "RECEIPT", "ｒeceipt",
    "x" * 101, "_layout", "\u2025/receipt",
]  # fmt: skip


@pytest.mark.parametrize("name", TRAVERSALS)
def test_a_name_that_is_a_path_is_no_template_and_no_dataset(name: str, tmp_path: Path) -> None:
    folders = TemplateFolders(tmp_path)
    assert not folders.has(name)
    with pytest.raises(TemplateFailed):
        Templates(folders).render(name, {})
    with pytest.raises(InvalidPayload):
        check_payload({"dataset": name, "record": {}})


BREAKS = ["\r\n", "\n", "\r", "\x00", "\x0b", "\x0c", "\x85", "\u2028", "\u2029", "\x1b"]
MAIL: dict[str, Any] = {"to": "ada@example.com", "subject": "s", "text": "t"}


@pytest.mark.parametrize("line_break", BREAKS)
@pytest.mark.parametrize("field", ["to", "cc", "bcc", "reply_to", "subject", "headers", "name", "filename"])
def test_no_field_opens_a_header_or_a_command(field: str, line_break: str) -> None:
    injected = f"ada@example.com{line_break}RCPT TO:<eve@example.com>"
    change: dict[str, Any] = {field: injected}
    if field == "headers":
        change = {"headers": {"X-A": injected}}
    if field == "name":
        change = {"headers": {f"X-A{line_break}Bcc": "eve@example.com"}}
    if field == "filename":
        change = {"attachments": [{"filename": f"a{line_break}b.txt", "content_base64": "eA=="}]}
    with pytest.raises(InvalidPayload):
        email_payload.parse({**MAIL, **change}, attachments_bytes_max=1_000)


OURS = [
    "Bcc", "bcc", "To", "From", "Sender", "Subject", "Content-Type", "DKIM-Signature", "Received",
    "Return-Path", "X-A: b", "X A", "", "X-Postroom-Id",
]  # fmt: skip


@pytest.mark.parametrize("name", OURS)
def test_a_caller_sets_no_header_that_is_ours(name: str) -> None:
    with pytest.raises(InvalidPayload):
        email_payload.parse({**MAIL, "headers": {name: "x"}}, attachments_bytes_max=0)
