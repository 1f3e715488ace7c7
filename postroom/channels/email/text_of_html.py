"""The plain text of a mail that was written in HTML only."""

from __future__ import annotations

import textwrap
from functools import cache


def text_of(html: str) -> str:
    """What the HTML says: tables in columns, each link behind its words, nothing that is hidden.

    Does not promise: the words in the best order; a `.txt` of one's own says it better.
    """
    from inscriptis import get_text  # late: it brings lxml, and most templates have a text

    lines = [line.rstrip() for line in get_text(html, _config()).splitlines()]
    kept = [line for line, before in zip(lines, ["", *lines], strict=False) if line or before]
    return textwrap.dedent("\n".join(kept)).strip("\n") + "\n"


@cache
def _config() -> object:
    from inscriptis.css_profiles import STRICT_CSS_PROFILE
    from inscriptis.model.config import ParserConfig

    return ParserConfig(css=STRICT_CSS_PROFILE, display_links=True)
