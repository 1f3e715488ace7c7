"""MJML by its frame: the same HTML as the library makes of the whole."""

from __future__ import annotations

import json
import re

import mrml
import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroom.channels.email import mjml
from postroom.channels.email.template import SHIPPED, TemplateFolders

MAIL = """<mjml lang="en"><mj-head><mj-title>{title}</mj-title><mj-preview> {a} </mj-preview>
<mj-style>.card > a, b {{ color: red }} </mj-style></mj-head>
<mj-body><mj-section><mj-column><mj-text>{a} <b> {b}</b> {c}<br />{a}</mj-text>
<mj-table><tr><td>{b}</td></tr></mj-table><!-- as it is --><mj-button href="{link}">{c}</mj-button>
<mj-text><a class="x" href="{link}">{a}</a><a href="https://example.com/?{link}">&amp; more</a></mj-text>
</mj-column></mj-section></mj-body></mjml>"""
# What a template puts in, escaped by then. In a title or the link of a button, which become attributes, the
# library spoils letters that combine with others, `\\u{9c1}`; here they stay as they are.
TEXTS = st.text(st.characters(exclude_categories=["C"], exclude_characters="<>\"'&\\"), max_size=20)
VALUES = st.text("abc äöü€日本語 .,:;!?/%#", max_size=20)


@given(VALUES, TEXTS, TEXTS, TEXTS, VALUES)
def test_a_mail_by_its_frame_is_the_mail_that_the_library_makes(
    title: str, a: str, b: str, c: str, link: str
) -> None:
    mail = MAIL.format(title=title, a=a, b=b, c=c, link=link.strip())
    assert mjml.to_html(mail) == mjml.by_library(mail)


def test_a_link_of_letters_that_combine_is_kept() -> None:
    mail = MAIL.format(title="t", a="a", b="b", c="c", link="/\u09c1")
    assert mjml.to_html(mail).count('href="/\u09c1"') == 2


def test_what_differs_in_text_and_links_is_compiled_once() -> None:
    mjml._compiled.cache_clear()
    for number in range(5):
        mail = MAIL.format(title="t", a=f"a{number}", b="b", c=f"c{number}", link=f"/{number}")
        assert f'href="/{number}"' in mjml.to_html(mail)
    assert mjml._compiled.cache_info().misses == 1


@pytest.mark.parametrize("text", [mjml.TEXT, f"{mjml.LINK}7;", f"{mjml.TEXT}0;{mjml.TEXT}1;"])
def test_marks_in_a_text_stay_what_they_are(text: str) -> None:
    mail = MAIL.format(title="t", a=text, b="b", c="c", link="/")
    assert mjml.to_html(mail) == mjml.by_library(mail)


@pytest.mark.parametrize(
    "mail",
    ["<mjml><mj-body>", '<mjml><mj-body><mj-text title="a > b">x</mj-text></mj-body>', "none", ""],
)
def test_faulty_mjml_fails_in_its_own_words(mail: str) -> None:
    with pytest.raises(OSError, match=r".") as expected:
        mrml.to_html(mail)
    with pytest.raises(OSError, match=f"^{re.escape(str(expected.value))}$"):
        mjml.to_html(mail)


def test_where_its_lines_end_is_all_that_differs_from_the_library() -> None:
    mail = MAIL.format(title="t", a="a", b="b", c="c", link="/")
    assert mjml.to_html(mail).replace("\n", " ") == mrml.to_html(mail).content.replace("\n", " ")


@pytest.mark.parametrize("name", TemplateFolders(None).names())
def test_every_shipped_mail_is_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from postroom.channels.email import template

    data = json.loads((SHIPPED / f"{name}.sample.json").read_text())
    found = template.Templates(TemplateFolders(None)).render(name, data)
    monkeypatch.setattr(template, "to_html", mjml.by_library)
    assert template.Templates(TemplateFolders(None)).render(name, data).html == found.html
