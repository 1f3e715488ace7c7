"""What strangers wrote reaches a terminal as text: no colours, no cursor, no title, no turned line."""

from __future__ import annotations

import re
import sys
from uuid import uuid4

import pytest
from rich.errors import MarkupError

from postroom.cli.output import print_table

ESCAPES = {
    "colour": "\x1b[31mred",
    "title": "\x1b]0;owned\x07",
    "clipboard": "\x1b]52;c;b3duZWQ=\x07",
    "link": "\x1b]8;;http://127.0.0.1/\x1b\\click",
    "one byte": "\x9b31mred",
    "back": "abc\b\b\bxyz",
    "return": "bad\rgood",
    "turned": "\u202egnp.exe",
    "hidden": "pay\u2066 \u2069pal",
}


@pytest.mark.parametrize("text", ESCAPES.values(), ids=ESCAPES)
def test_no_mark_of_a_stranger_reaches_the_terminal(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("REASON",), [(text,)], empty="")
    shown = capsys.readouterr().out
    assert "[U+" in shown
    assert not set(shown) & set("\x1b\x07\x08\r\x9b\u202e\u2066\u2069")


@pytest.mark.parametrize("text", ["[bold]x[/bold]", "[/nothing]", "[link=http://127.0.0.1/]x[/link]", "a[0]"])
def test_brackets_are_brackets(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        print_table(("REASON",), [(text,)], empty="")
    except MarkupError as error:
        pytest.fail(f"taken for markup: {error}")
    assert text in capsys.readouterr().out


def test_ids_stay_whole_in_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "72")
    ids = [uuid4() for _ in range(3)]
    columns = ("MESSAGE", "CHANNEL", "DESTINATION", "CAUSE", "REASON", "ATTEMPTS", "DIED")
    rows = [(each, "webhook", "hooks.example.com", "passing", "answered 503 " * 5, 8, None) for each in ids]
    print_table(columns, rows, empty="")
    shown = capsys.readouterr().out
    assert all(str(each) in shown for each in ids)
    lines = re.sub(r"\x1b\[\d*m", "", shown).splitlines()
    assert max(map(len, lines)) <= 72
