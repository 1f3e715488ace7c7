"""Pages with an opaque cursor: the place of the last item, so that pages neither skip nor repeat."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Final, Generic, TypeVar

from pydantic import BaseModel, Field

from postroom.base.cursor import decode_cursor as decode_cursor
from postroom.base.cursor import encode_cursor as encode_cursor

LIMIT_MAX: Final = 200
LIMIT_DEFAULT: Final = 50

Item = TypeVar("Item")

Limit = Annotated[int, Field(ge=1, le=LIMIT_MAX)]
Cursor = Annotated[str | None, Field(max_length=500, description="`next_cursor` of the page before.")]


class Page(BaseModel, Generic[Item]):
    """`next_cursor` is absent on the last page only: one whose scan ended early may be short or empty."""

    items: list[Item]
    next_cursor: str | None = None


def page_of(items: Sequence[Item], limit: int, position: Callable[[Item], object]) -> Page[Item]:
    """A page of what was read with `limit + 1`: one more than shown tells whether more follows."""
    shown = list(items[:limit])
    more = len(items) > limit
    return Page(items=shown, next_cursor=encode_cursor(position(shown[-1])) if more else None)
