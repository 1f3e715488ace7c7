"""docs/reference says what the code says."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.generator.pages import FOLDER, block_names, fill
from docs.generator.reference import PAGES, reference


async def test_the_reference_is_what_the_code_says(dsn: str, tmp_path: Path) -> None:
    made = await reference(dsn, tmp_path)
    stale = [name for name, text in made.items() if (FOLDER / name).read_text(encoding="utf-8") != text]
    assert stale == [], "make reference"
    assert all(block_names(made[name]) == [name.removesuffix(".md")] for name in PAGES)


def test_a_block_is_made_anew_and_the_prose_around_it_stays() -> None:
    page = "before\n<!-- generated: x -->\nold\n<!-- end of x -->\nafter\n"
    assert fill(page, {"x": "new"}) == page.replace("old", "new")
    with pytest.raises(KeyError):
        fill(page, {})
