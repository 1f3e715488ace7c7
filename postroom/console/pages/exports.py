"""What analysts read: the folders of exports, each with its files and its manifest."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from postroom.base.errors import InvalidInput
from postroom.channels.exports.upkeep import FileFilter, ListedFile, list_files
from postroom.console.page_request import PageRequest
from postroom.console.view.parameters import text

SHOWN_MAX: Final = 500
DAYS: Final = 7
"""Where no day is chosen: records of this many days."""


@dataclass(slots=True)
class Window:
    """A folder with those of its files that are shown, oldest first."""

    folder: str
    files: list[ListedFile] = field(default_factory=list)

    @property
    def first(self) -> ListedFile:
        return self.files[0]

    @property
    def records(self) -> int:
        """Those that are to be read there: what was replaced counts no more."""
        return sum(file.records for file in self.files if file.delete_at is None)

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes or 0 for file in self.files if file.delete_at is None)


async def exports(request: PageRequest) -> Response:
    """Of one dataset or of all, by the day of their records."""
    today = request.console.clock.now().date()
    chosen = {name: text(request.http, name) for name in ("dataset", "tenant", "since", "until")}
    since, until = _day(request.http, "since"), _day(request.http, "until")
    if since is None and until is None:
        since = today - timedelta(days=DAYS - 1)
        chosen["since"] = since.isoformat()
    which = FileFilter(dataset=chosen["dataset"], tenant=chosen["tenant"], since=since, until=until)
    async with request.console.snapshot() as conn:
        files = await list_files(conn, which, limit=SHOWN_MAX)
    windows: dict[str, Window] = {}
    for file in files:
        folder = (file.path or "").rpartition("/")[0]
        windows.setdefault(folder, Window(folder)).files.append(file)
    return request.page(
        "exports.html",
        active="exports",
        filters=chosen,
        windows=list(reversed(windows.values())),
        cut=len(files) == SHOWN_MAX,
        shown_max=SHOWN_MAX,
    )


def _day(request: Request, name: str) -> date | None:
    value = text(request, name)
    try:
        return date.fromisoformat(value) if value else None
    except ValueError:
        raise InvalidInput(f"{name} is a day such as 2026-07-01", field=name) from None
