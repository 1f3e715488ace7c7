"""The runbook pages of docs/runbooks, shown where the condition is."""

from __future__ import annotations

import re
from typing import Final

from markdown_it import MarkdownIt
from markupsafe import Markup
from starlette.responses import Response

from postroom.base.errors import NotFound
from postroom.base.version import PACKAGE
from postroom.console.page_request import PageRequest

_NAME: Final = re.compile(r"[A-Z][A-Za-z]{1,60}")
_PAGE_LINK: Final = re.compile(r"([A-Z][A-Za-z]{1,60})\.md")


def _reader() -> MarkdownIt:
    """Shows HTML rather than obeying it, and links to other pages only."""
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    reader.validateLink = lambda url: url.startswith("/console/runbooks/")  # type: ignore[method-assign]
    reader.normalizeLink = lambda url: _PAGE_LINK.sub(r"/console/runbooks/\1", url)  # type: ignore[method-assign]
    return reader


_MARKDOWN: Final = _reader()


async def runbook(request: PageRequest) -> Response:
    name = str(request.http.path_params["name"])
    return request.page("runbook.html", active="", name=name, body=to_html(read(name)))


def read(name: str) -> str:
    """A page's text. Errors: `NotFound`."""
    if _NAME.fullmatch(name):
        for folder in (PACKAGE.parent / "docs" / "runbooks", PACKAGE / "_runbooks"):
            page = folder / f"{name}.md"
            if page.is_file():
                return page.read_text(encoding="utf-8")
    raise NotFound("there is no such runbook page")


def to_html(text: str) -> Markup:
    """The page as HTML."""
    html = _MARKDOWN.render(text)
    # Who walks through the page by keyboard can scroll a long command into view.
    return Markup(html.replace("<pre>", '<pre tabindex="0">'))  # noqa: S704 - markdown-it escaped it
