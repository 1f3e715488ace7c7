"""Text that strangers wrote, made harmless to read: in a page, on a terminal, in a log."""

from __future__ import annotations

import unicodedata
from typing import Final

TEXT_SHOWN_MAX: Final = 20_000
_JOINER: Final = "\u200d"  # holds emoji together


def visible(text: object, length_max: int = TEXT_SHOWN_MAX) -> str:
    """Control and direction marks show as their code, so none moves a cursor or turns a line; and it ends."""
    whole = str(text)
    shown = "".join(_mark(c) for c in whole[:length_max])
    return shown + f"… ({len(whole) - length_max:,} more characters)" if len(whole) > length_max else shown


def _mark(character: str) -> str:
    if character in "\n\t":
        return character
    kind = unicodedata.category(character)
    if kind in ("Cc", "Cs") or (kind == "Cf" and character != _JOINER):
        return f"[U+{ord(character):04X}]"
    return character
