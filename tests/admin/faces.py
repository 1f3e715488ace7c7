"""The three faces of an operator's actions: API, console and command line."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from postroom.base import json
from postroom.base.db import Pool
from postroom.base.settings import Settings
from tests.admin.subjects import nothing
from tests.console.http import Visitor, visitor
from tests.fixtures.api import Api, running_api
from tests.processes.commands import run

ID: Final = "00000000-0000-7000-8000-000000000000"
Face = Literal["api", "console", "cli"]
FACES: Final[tuple[Face, ...]] = ("api", "console", "cli")
Make = Callable[[Pool, Path], Awaitable[str]]
Form = tuple[tuple[str, str], ...]
Row = tuple[str, str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Action:
    """One action. `{id}` stands for what `on` makes; `subject` for the trail's, unless it is that id.

    A face without the action has None. `console` is a path and a form, `cli` a command line.
    """

    name: str
    on: Make = nothing
    detail: Mapping[str, Any] = field(default_factory=dict)
    subject: str = "{id}"
    api: tuple[str, str, Any] | None = None
    console: tuple[str, Form] | None = None
    cli: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Faces:
    """The three faces of one installation, each in the hand of somebody who may do everything."""

    api: Api
    guest: Visitor
    dsn: str
    folder: Path

    async def do(self, action: Action, face: Face, made: str) -> str:
        """Returns: what is shown then. Errors: `AssertionError` when it is refused."""
        match face:
            case "api":
                assert action.api is not None
                method, path, body = action.api
                sent = {} if body is None else {"json": body}
                answer = await self.api.call(method, "/v1/admin/" + path.format(id=made), **sent)
                assert answer.status < 300, answer.text
                return answer.text
            case "console":
                assert action.console is not None
                path, form = action.console
                answer = await self.guest.post("/console" + path.format(id=made), form)
                assert answer.status in (200, 303), answer.text
                return (
                    (await self.guest.get(answer.headers["Location"])).text
                    if answer.status == 303
                    else answer.text
                )
            case "cli":
                assert action.cli is not None
                command = [part.format(id=made) for part in action.cli]
                settings = {"POSTROOM_DATABASE_URL": self.dsn, "POSTROOM_STATE_DIR": str(self.folder)}
                done = await asyncio.to_thread(run, "postroom", *command, home=self.folder, settings=settings)
                assert done.code == 0, done.err
                return done.out

    async def trail(self, made: str) -> list[Row]:
        """What the trail got since it was last asked; ids but that of `made` look alike, and so do actors."""
        rows = await self.api.pool.fetch(
            "delete from postroom.audit returning actor, action, subject, detail::text"
        )
        return [
            (
                row["action"],
                _alike(row["subject"], made),
                json.decode(_alike(row["detail"], made, row["actor"])),
            )
            for row in rows
        ]


def _alike(text: str, made: str, actor: str = "") -> str:
    text = text.replace(made, "{id}") if made else text
    text = text.replace(actor, "{actor}") if actor else text
    return re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", ID, text)


async def check_trail(actions: Iterable[Action], face: Face, *, dsn: str, folder: Path) -> None:
    """Each leaves one row, in its own form. Errors: `AssertionError`."""
    async with running_api(dsn, Settings(state_dir=folder)) as api, visitor(api) as guest:
        if face == "console":
            await guest.sign_in(api.token)
        faces = Faces(api, guest, dsn, folder)
        for action in actions:
            if getattr(action, face) is None:
                continue
            made = await action.on(api.pool, folder)
            await faces.trail(made)
            await faces.do(action, face, made)
            assert await faces.trail(made) == [(action.name, action.subject, action.detail)], action.name
            await api.pool.execute("delete from postroom.suppression")
