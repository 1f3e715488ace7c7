"""Which database to use: the one that was named, the local one that runs, or one started now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from postroom.postgres.binaries import Flavour
from postroom.postgres.errors import AlreadyRunning
from postroom.postgres.server import LocalPostgres
from postroom.postgres.state import RunningPostgres, running


@dataclass(slots=True)
class ResolvedDatabase:
    """A database to use until `close`, which stops the server only if `resolve` started it."""

    dsn: str
    origin: Literal["given", "running", "started"]
    server: RunningPostgres | None = None  # None when the URL was given
    owned: LocalPostgres | None = None

    def close(self) -> None:
        """Stop what was started here; blocks until the server is down. May be called twice."""
        owned, self.owned = self.owned, None
        if owned:
            owned.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def resolve(
    *, database_url: str | None, state_dir: Path, flavour: Flavour = "auto",
    settings: Mapping[str, str] | None = None,
) -> ResolvedDatabase:  # fmt: skip
    """The given URL as it is; else the server that runs on the state folder; else a new one.

    Blocks while a server starts: from async code use `asyncio.to_thread`.
    Does not promise: that a given URL answers, nor that a running server outlives the process that owns it.
    Errors: those of `LocalPostgres.start`.
    """
    if database_url:
        return ResolvedDatabase(dsn=database_url, origin="given")
    if found := running(state_dir):
        return ResolvedDatabase(dsn=found.dsn, origin="running", server=found)
    local = LocalPostgres(state_dir, flavour=flavour, settings=settings)
    try:
        state = local.start()
    except AlreadyRunning:
        # Another process was quicker by a moment; its server is as good as ours.
        if found := running(state_dir):
            return ResolvedDatabase(dsn=found.dsn, origin="running", server=found)
        raise
    return ResolvedDatabase(dsn=state.dsn, origin="started", server=state, owned=local)
