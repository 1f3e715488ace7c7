"""The runbook pages of docs/runbooks, shown where the condition is."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from typing import Final

from markupsafe import Markup, escape
from starlette.responses import Response

import app
from app.base.errors import NotFound
from app.console.visit import Visit

_NAME: Final = re.compile(r"[A-Z][A-Za-z]{1,60}")
_INLINE: Final = re.compile(r"`([^`]+)`|\*\*([^*]+)\*\*|\[([^\]]+)\]\(([A-Z][A-Za-z]{1,60})\.md\)")


async def runbook(visit: Visit) -> Response:
    name = str(visit.request.path_params["name"])
    return visit.page("runbook.html", active="", name=name, body=to_html(read(name)))


def read(name: str) -> str:
    """A page's text. Errors: `NotFound`."""
    if _NAME.fullmatch(name):
        beside = Path(app.__file__).parent.parent / "docs" / "runbooks" / f"{name}.md"
        packaged = resources.files("app").joinpath("_runbooks", f"{name}.md")
        for place in (beside, packaged):
            if place.is_file():
                return place.read_text(encoding="utf-8")
    raise NotFound("there is no such runbook page")


def to_html(text: str) -> Markup:
    """The little Markdown of the pages: headings, code, lists, tables, links to each other. Escapes all."""
    parts: list[Markup] = []
    for index, block in enumerate(re.split(r"^```\w*\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)):
        if index % 2:
            parts.append(Markup('<pre tabindex="0"><code>{}</code></pre>').format(block))
        else:
            parts += [_block(lines) for lines in re.split(r"\n\s*\n|(?=^#)|(?<=\n)(?=- )", block, flags=re.M)]
    return Markup("\n").join(part for part in parts if part)


def _block(text: str) -> Markup:
    lines = text.strip()
    if not lines:
        return Markup("")
    if lines.startswith("#"):
        heading, _, rest = lines.partition("\n")
        size = min(6, len(heading) - len(heading.lstrip("#")))
        # The page has its own first heading.
        title = (
            Markup("")
            if size == 1
            else Markup("<h{}>{}</h{}>").format(size, _inline(heading.lstrip("# ")), size)
        )
        return title + _block(rest)
    if lines.startswith("|"):
        return _table([line.strip("| ").split(" | ") for line in lines.splitlines()])
    if lines.startswith("- "):
        return Markup("<ul><li>{}</li></ul>").format(_inline(lines[2:]))
    return Markup("<p>{}</p>").format(_inline(lines))


def _table(rows: list[list[str]]) -> Markup:
    """The second row only separates the head from the rest."""
    head, _, *body = rows
    cells = Markup("").join(Markup('<th scope="col">{}</th>').format(_inline(cell)) for cell in head)
    lines = Markup("").join(
        Markup("<tr>{}</tr>").format(
            Markup("").join(Markup("<td>{}</td>").format(_inline(cell)) for cell in row)
        )
        for row in body
    )
    return Markup("<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>").format(cells, lines)


def _marked(code: str | None, strong: str | None, link: str | None, page: str | None) -> Markup:
    if code:
        return Markup("<code>{}</code>").format(code)
    if strong:
        return Markup("<strong>{}</strong>").format(strong)
    return Markup('<a href="/console/runbooks/{}">{}</a>').format(page, link)


def _inline(text: str) -> Markup:
    parts: list[Markup] = []
    end = 0
    for found in _INLINE.finditer(text):
        parts.append(escape(text[end : found.start()]))
        parts.append(_marked(*found.groups()))
        end = found.end()
    return Markup("").join([*parts, escape(text[end:])])
