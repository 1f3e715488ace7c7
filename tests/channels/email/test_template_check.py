"""What a check finds in templates, and the text that is taken from HTML."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from postroom.base.errors import InvalidInput
from postroom.channels.email.renderer import Renderer
from postroom.channels.email.template import TemplateFolders, Templates
from postroom.channels.email.template_check import FindingKind, check_template, read_sample
from postroom.channels.email.text_of_html import text_of
from tests.channels.email.test_template import INVOICE, write

LINK = '<mj-section><mj-column><mj-text><a href="{0}">Here</a></mj-text></mj-column></mj-section>'

IMAGE = '<mj-section><mj-column><mj-image src="http://i.example/1.png" /></mj-column></mj-section>'
Fault = tuple[dict[str, str], str | None, FindingKind, str]


@pytest.fixture
async def renderer(tmp_path: Path) -> AsyncIterator[Renderer]:
    renderer = Renderer(TemplateFolders(tmp_path))
    yield renderer
    await renderer.close()


async def found(folder: Path, renderer: Renderer, name: str = "own") -> dict[FindingKind, str]:
    findings = await check_template(name, folders=TemplateFolders(folder), renderer=renderer)
    return {each.kind: each.text for each in findings}


@pytest.mark.parametrize("name", TemplateFolders(None).names())
async def test_the_shipped_ones_have_nothing_to_say(tmp_path: Path, renderer: Renderer, name: str) -> None:
    assert await found(tmp_path, renderer, name) == {}


@pytest.mark.parametrize(
    "fault",
    [
        ({}, None, FindingKind.SAMPLE, "own.sample.json"),
        ({}, "[1]", FindingKind.SAMPLE, "no JSON object"),
        ({"txt": "{{ name }}"}, "{}", FindingKind.FAILS, "own.txt, line 1: 'name' is undefined"),
        ({"subject": "x" * 79}, "{}", FindingKind.SUBJECT, "79 characters"),
        ({"txt": "see http://shop.example/x."}, "{}", FindingKind.LINK, "http://shop.example/x"),
        ({"mjml": LINK.format("http://shop.example")}, "{}", FindingKind.LINK, "http://shop.example"),
        ({"mjml": LINK.format("{{ url }}")}, '{"url": ""}', FindingKind.LINK, "''"),
        ({"mjml": IMAGE}, "{}", FindingKind.LINK, "http://i.example/1.png"),
    ],
)
async def test_a_fault_is_named(tmp_path: Path, renderer: Renderer, fault: Fault) -> None:
    files, sample, kind, says = fault
    write(tmp_path, "own", **files)
    if sample is not None:
        (tmp_path / "own.sample.json").write_text(sample)
    findings = await found(tmp_path, renderer)
    assert list(findings) == [kind]
    assert says in findings[kind]


async def test_a_template_that_lacks_a_file_is_named_and_a_name_leads_nowhere_else(
    tmp_path: Path, renderer: Renderer
) -> None:
    folders = TemplateFolders(tmp_path / "templates")
    folders.folders[0].mkdir()
    (tmp_path / "x.sample.json").write_text('{"secret": 1}')
    (tmp_path / "templates" / "half.subject").write_text("x")
    assert "half" in folders.begun()
    assert "half" not in folders.names()
    for name, says in (("half", "lacks half.mjml"), ("../x", "is unknown")):
        [finding] = await check_template(name, folders=folders, renderer=renderer)
        assert finding.kind is FindingKind.FAILS
        assert says in finding.text
        with pytest.raises(InvalidInput, match=says):
            read_sample(folders, name)


async def test_a_template_without_a_text_has_that_of_its_html(tmp_path: Path, renderer: Renderer) -> None:
    write(tmp_path, "own", mjml=LINK.format("https://shop.example/a?b=1"))
    (tmp_path / "own.txt").unlink()
    (tmp_path / "own.sample.json").write_text("{}")
    assert "own" in TemplateFolders(tmp_path).names()
    assert (await renderer.render("own", {})).text == "[Here](https://shop.example/a?b=1)\n"
    assert list(await found(tmp_path, renderer)) == [FindingKind.TEXT]
    (tmp_path / "own.txt").write_text("my own words")
    assert (await renderer.render("own", {})).text == "my own words"


def test_the_text_of_html_says_what_it_shows_in_rows_without_what_is_hidden() -> None:
    html = Templates(TemplateFolders(None)).render("receipt", INVOICE).html
    text = text_of(html)
    assert "Thank you, Ann <b>bold</b>. We received your payment of €1,299.50" in text
    assert "Pro <plan>  €1,299.50\nPaid        €1,299.50\n" in text.replace("  \n", "\n")
    assert "[See the invoice](https://invoice.example/i/1?a=1&b=2)" in text
    assert "\n\n\n" not in text
    assert not text.startswith((" ", "\n"))
    assert text_of("") == text_of("<style>p {}</style>") == "\n"
