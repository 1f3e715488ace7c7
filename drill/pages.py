"""Reads the commands out of the pages that people read."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parents[1] / "docs" / "runbooks"
SECTIONS: Final = ("Meaning", "Impact", "Diagnosis", "Mitigation")

_FENCE = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SECTION = re.compile(r"^## (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Page:
    """One page: the commands of its two sections that have some, block by block, as they stand there."""

    alert: str
    diagnosis: tuple[str, ...]
    mitigation: tuple[str, ...]


def read_page(alert: str, folder: Path = FOLDER) -> Page:
    """Errors: `FileNotFoundError` for an alert without a page, `ValueError` for one that lacks a section."""
    sections = split((folder / f"{alert}.md").read_text(encoding="utf-8"))
    missing = [name for name in SECTIONS if name not in sections]
    if missing:
        raise ValueError(f"{alert}.md lacks the section {missing[0]!r}")
    return Page(alert, _blocks(sections["Diagnosis"]), _blocks(sections["Mitigation"]))


def split(text: str) -> dict[str, str]:
    """The text of each `##` section, by its name."""
    parts = _SECTION.split(text)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def _blocks(section: str) -> tuple[str, ...]:
    return tuple(found.strip("\n") for found in _FENCE.findall(section))


def count_commands(block: str) -> int:
    """How many commands a person would see in it: a line that goes on, inside quotes too, is one."""
    count, pending = 0, ""
    for line in block.splitlines():
        pending += f"{line}\n"
        if not _goes_on(pending):
            count, pending = count + 1, ""
    return count


def _goes_on(text: str) -> bool:
    last = text.rstrip("\n")
    if last.endswith(("\\", "|", "do")) or len(re.findall(r"\bdo$", text, re.MULTILINE)) > text.count("done"):
        return True
    try:
        shlex.split(text)
    except ValueError:
        return True
    return False
