"""From Django's admin to Postroom's console: what was published for an object, and what became of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlencode

from django.conf import settings
from django.utils.html import format_html

SETTING: Final = "POSTROOM_CONSOLE_URL"
"""Of Django's settings: where the console is, such as https://postroom.example/console."""


def console_link(of: Callable[[Any], str], *, description: str = "Postroom") -> Callable[[Any], str]:
    """A column (`list_display`) or a read-only field of a `ModelAdmin`: a link to an object's messages.

    `of`: what the console shall search for, given the object: a key, a correlation id, a tenant. Without
    `POSTROOM_CONSOLE_URL`, and for an object that is not saved yet, it is a dash.
    """

    def postroom(obj: Any) -> str:
        base = getattr(settings, SETTING, None)
        if not base or obj is None or obj.pk is None:
            return "–"
        url = f"{str(base).rstrip('/')}/messages?{urlencode({'q': of(obj)})}"
        return str(format_html('<a href="{}">{}</a>', url, "Messages"))

    postroom.short_description = description  # type: ignore[attr-defined]  # as Django's `display` does
    return postroom
