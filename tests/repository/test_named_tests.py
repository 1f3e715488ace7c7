"""What the documents say is tested, is: every test that they name is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAME = re.compile(r"`(test_[a-z0-9_]+)`")
FILE = re.compile(r"`(tests/[a-z0-9_/]+(?:\.py)?)`")
ATTACK = re.compile(r"`(tests/[a-z0-9_/]+\.py)::(test_[a-z0-9_]+)`")
POINTS = {*map(str, range(1, 13)), "all"}
"""Of the review that the attacker's list goes by."""
DEFINED = re.compile(r"^ *(?:async )?def (test_[a-z0-9_]+)", re.MULTILINE)
PAGES = ("ARCHITECTURE.md", "docs/security.md", "docs/reliability.md")


def section(page: str, title: str) -> str:
    return (ROOT / page).read_text().split(f"\n## {title}\n")[1].split("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    """The cells of a table's rows, without head and rule."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@pytest.fixture(scope="module")
def defined() -> set[str]:
    return {
        name for path in (ROOT / "tests").rglob("test_*.py") for name in DEFINED.findall(path.read_text())
    }


@pytest.mark.parametrize("page", PAGES)
def test_every_test_that_a_page_names_is_there(page: str, defined: set[str]) -> None:
    text = (ROOT / page).read_text()
    assert set(NAME.findall(text)) <= defined
    assert [name for name in FILE.findall(text) if not (ROOT / name).exists()] == []


def test_every_row_of_the_crash_matrix_has_its_test() -> None:
    matrix = rows(section("ARCHITECTURE.md", "Crash matrix"))
    assert len(matrix) >= 14
    assert [row[0] for row in matrix if not NAME.search(row[-1])] == []


def test_every_threat_has_its_test_or_says_that_it_has_none() -> None:
    threats = rows(section("docs/security.md", "Threats, defences, tests"))
    assert len(threats) > 20
    untested = [row[0] for row in threats if not re.search(r"`(tests/)?(security/)?test_|reviewed", row[-1])]
    assert untested == []


def test_every_attack_of_the_list_fails_in_a_test_that_is_there() -> None:
    attacks = rows(section("docs/security.md", "The attacker's list"))
    assert {point for point, _, _ in attacks} == POINTS
    for _, attack, cell in attacks:
        named = ATTACK.findall(cell)
        assert named, attack
        assert len(named) == len(cell.split("<br>")), f"{attack}: not all of the form `file::test`"
        for file, name in named:
            assert (ROOT / file).exists(), file
            assert name in DEFINED.findall((ROOT / file).read_text()), f"{file}::{name}"
