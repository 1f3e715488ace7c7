"""Settings whose values stand in files, so that no environment, and none of its copies, holds a secret.

`POSTROOM_…_FILE` names the file of any setting; a credential of systemd is a file that has a setting's name.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

PREFIX: Final = "POSTROOM_"
SUFFIX: Final = "_FILE"
CREDENTIALS: Final = "CREDENTIALS_DIRECTORY"
BYTES_MAX: Final = 65_536
WATCH_EVERY_S: Final = 5.0


class SettingFiles(NamedTuple):
    """`texts`: by the setting's name, without the line's end. `faults`: one line each, never with a value."""

    texts: dict[str, str]
    faults: tuple[str, ...]


def read_files(environment: Mapping[str, str]) -> SettingFiles:
    """Read them all anew. What the environment itself says goes before a credential; beside a `_FILE` it is a
    fault, for nobody could tell which one is meant.
    """
    texts, faults = dict[str, str](), list[str]()
    for name, path in sorted(_paths(environment).items()):
        if name + SUFFIX in environment and name in environment:
            faults.append(f"{name}: set, and {name}{SUFFIX} is set, too: keep one of them")
            continue
        try:
            texts[name] = _read(path)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "no text, or longer than 64 KiB"
            faults.append(f"{name}{SUFFIX}: {path} cannot be read: {reason}")
    return SettingFiles(texts, tuple(faults))


async def watch_files(
    known: SettingFiles, changed: Callable[[SettingFiles], Awaitable[None]], *, every_s: float = WATCH_EVERY_S
) -> None:
    """Call `changed` within `every_s` after one of them has another text than is `known`, until cancelled."""
    while True:
        await asyncio.sleep(every_s)
        found = await asyncio.to_thread(read_files, os.environ)
        if found != known:
            known = found
            await changed(found)


def _paths(environment: Mapping[str, str]) -> dict[str, Path]:
    credentials = environment.get(CREDENTIALS)
    found = {}
    if credentials is not None and Path(credentials).is_dir():
        named = {path.name.upper(): path for path in Path(credentials).iterdir()}
        found = {
            name: path for name, path in named.items() if name.startswith(PREFIX) and name not in environment
        }
    for name, path in environment.items():
        if name.startswith(PREFIX) and name.endswith(SUFFIX):
            found[name.removesuffix(SUFFIX)] = Path(path)
    return found


def _read(path: Path) -> str:
    with path.open("rb") as file:
        held = file.read(BYTES_MAX + 1)
    if len(held) > BYTES_MAX:
        raise ValueError("too long")
    return held.decode().rstrip("\r\n")
