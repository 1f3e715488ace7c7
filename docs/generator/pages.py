"""A reference page: prose written by hand around blocks that are made from the code.

A block stands between `<!-- generated: NAME -->` and `<!-- end of NAME -->`, which neither GitHub nor
the site shows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
FOLDER: Final = ROOT / "docs" / "reference"
_BLOCK: Final = re.compile(r"(<!-- generated: (\S+) -->\n).*?(<!-- end of \2 -->)", re.DOTALL)


def fill(page: str, blocks: Mapping[str, str]) -> str:
    """The page with its blocks made anew. Errors: `KeyError` for a block that nobody makes."""
    return _BLOCK.sub(lambda found: f"{found[1]}{blocks[found[2]]}\n{found[3]}", page)


def block_names(page: str) -> list[str]:
    return [name for _, name, _ in _BLOCK.findall(page)]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table. Bars inside cells are escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def sentence(text: str) -> str:
    """A docstring as one line."""
    return " ".join(text.split())
