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
_INLINE: Final = re.compile(r"`([^`]+)`|\*\*([^*]+)\*\*")


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
    """The little Markdown that the pages use: headings, code, lists, paragraphs. Escapes all."""
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
    if lines.startswith("- "):
        return Markup("<ul><li>{}</li></ul>").format(_inline(lines[2:]))
    return Markup("<p>{}</p>").format(_inline(lines))


def _inline(text: str) -> Markup:
    parts: list[Markup] = []
    end = 0
    for found in _INLINE.finditer(text):
        parts.append(escape(text[end : found.start()]))
        pattern = Markup("<code>{}</code>") if found[1] else Markup("<strong>{}</strong>")
        parts.append(pattern.format(found[1] or found[2]))
        end = found.end()
    return Markup("").join([*parts, escape(text[end:])])
