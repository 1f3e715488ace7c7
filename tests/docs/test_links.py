"""Links between the documents lead somewhere: on GitHub, and on the site that `make docs` builds."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Final

import pytest

from docs.generator.site_pages import FENCED, site_link

ROOT: Final = Path(__file__).resolve().parents[2]
LINK: Final = re.compile(r"\]\((?![a-z]+:)([^)\s]+)\)")


def pages() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT, capture_output=True, text=True, check=True, timeout=30,
    ).stdout  # fmt: skip
    return [path for line in listed.splitlines() if (path := ROOT / line).is_file()]


def prose(path: Path) -> str:
    return FENCED.sub("", path.read_text(encoding="utf-8"))


def anchors(path: Path) -> set[str]:
    """The names of a page's headings, as GitHub and the site make them."""
    headings = re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def leads_somewhere(page: Path, link: str) -> bool:
    name, _, anchor = link.partition("#")
    target = (page.parent / name).resolve() if name else page
    return target.exists() and (not anchor or anchor in anchors(target))


def test_every_link_leads_to_a_file_and_a_heading() -> None:
    found = pages()
    assert len(found) > 40
    broken = [
        f"{page.relative_to(ROOT)}: {link}"
        for page in found
        for link in LINK.findall(prose(page))
        if not leads_somewhere(page, link)
    ]
    assert broken == []


def test_a_link_to_nowhere_is_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Here\n[a](#here) [b](page.md#there) [c](gone.md)\n```\n[d](gone.md)\n```\n")
    assert [link for link in LINK.findall(prose(page)) if not leads_somewhere(page, link)] == [
        "page.md#there",
        "gone.md",
    ]


@pytest.mark.parametrize(
    ("source", "link", "there"),
    [
        ("README.md", "docs/runbook.md", "runbook.md"),
        ("README.md", "docs/images/a.png", "images/a.png"),
        ("how-to/publish.md", "../../ARCHITECTURE.md", "../ARCHITECTURE.md"),
        ("how-to/publish.md", "../runbook.md", "../runbook.md"),
        ("runbook.md", "runbooks/JobStale.md", "runbooks/JobStale.md"),
        ("ARCHITECTURE.md", "CONTRIBUTING.md", "CONTRIBUTING.md"),
        ("runbook.md", "../monitoring/x.yml", "../monitoring/x.yml"),
    ],
)
def test_a_link_of_the_repository_becomes_one_of_the_site(source: str, link: str, there: str) -> None:
    assert site_link(source, link) == there
