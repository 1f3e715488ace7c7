"""Hook of MkDocs: the pages at the repository's root are part of the site, and links work here and on GitHub.

Pages link to each other as files of the repository (`../../ARCHITECTURE.md`), which is what GitHub
follows. For the site such links are rewritten to where the page stands there.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
ROOT_PAGES: Final = (
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "LICENSE",
)
FENCED: Final = re.compile(r"(^ *```.*?^ *```)", re.MULTILINE | re.DOTALL)
LINK: Final = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#\s]+)")


def on_config(config: Any) -> Any:
    """Put every page of a folder where the navigation says `folder/*.md`."""
    config.nav = _expand(config.nav)
    return config


def _expand(entry: Any) -> Any:
    match entry:
        case dict():
            return {title: _expand(inner) for title, inner in entry.items()}
        case list():
            return [
                page
                for each in entry
                for page in (_listed(each) if isinstance(each, str) else [_expand(each)])
            ]
        case _:
            return entry


def _listed(entry: str) -> list[str]:
    folder = ROOT / "docs"
    found = sorted(path.relative_to(folder).as_posix() for path in folder.glob(entry)) if "*" in entry else []
    return found or [entry]


def on_files(files: Any, *, config: Any) -> Any:
    from mkdocs.structure.files import File  # only where the site is built

    for name in ROOT_PAGES:
        files.append(File.generated(config, name, content=(ROOT / name).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Rewrite the links that cross between the root and docs/; code blocks stay as they are."""
    source = page.file.src_uri
    parts = FENCED.split(markdown)
    return "".join(
        part if nth % 2 else LINK.sub(lambda found: site_link(source, found[1]), part)
        for nth, part in enumerate(parts)
    )


def site_link(source: str, link: str) -> str:
    """Where a link of the page `source` leads, relative to the page; both as the site has them."""
    folder = posixpath.dirname(source if source in ROOT_PAGES else f"docs/{source}")
    path = posixpath.normpath(posixpath.join(folder, link))
    if path not in ROOT_PAGES and not path.startswith("docs/"):
        return link  # nothing of the site: MkDocs says so
    return posixpath.relpath(path.removeprefix("docs/"), posixpath.dirname(source) or ".")
