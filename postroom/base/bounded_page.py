"""What a bounded scan along an index found: no page reads more of a table than it says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

from postroom.base.cursor import encode_cursor
from postroom.base.db import Record

Row = TypeVar("Row")
Kind = TypeVar("Kind")


@dataclass(frozen=True, slots=True)
class BoundedPage(Generic[Row]):
    """One page. `cursor`: where the next one starts, None behind the last.

    `truncated`: the scan ended at its limit before the page was full; what lies further may fit too.
    """

    rows: list[Row]
    cursor: str | None = None
    truncated: bool = False

    def of(self, kind: type[Kind]) -> BoundedPage[Kind]:
        """The same page, each row as one of these; what else the rows have is left out."""
        return BoundedPage([as_kind(row, kind) for row in self.rows], self.cursor, self.truncated)


def as_kind(row: Any, kind: type[Kind], **more: object) -> Kind:
    """A row of the database as a dataclass that has fields of the same names."""
    return msgspec.convert({**row, **more}, kind)


def bounded_page(rows: Sequence[Record], columns: Sequence[str], *, limit: int) -> BoundedPage[Record]:
    """A page of at most `limit` out of the rows of a query that looked for one more.

    `columns`: what orders the rows. Each row also has `fits`, and as `end_…` where the scan ended.
    """
    fitting = [row for row in rows if row["fits"]]
    if len(fitting) > limit:
        return BoundedPage(fitting[:limit], _cursor([fitting[limit - 1][name] for name in columns]))
    ends = [rows[0][f"end_{name}"] for name in columns] if rows else []
    if all(end is None for end in ends):
        return BoundedPage(fitting)
    return BoundedPage(fitting, _cursor(ends), truncated=True)


def _cursor(position: list[Any]) -> str:
    return encode_cursor(position[0] if len(position) == 1 else tuple(position))
