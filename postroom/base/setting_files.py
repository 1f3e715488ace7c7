"""Settings whose values stand in files, so that no environment, and none of its copies, holds a secret.

`POSTROOM_…_FILE` names the file of any setting, `POSTROOM_…_COMMAND` is a command that prints it; a
credential of systemd is a file that has a setting's name.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from time import monotonic
from typing import Final, NamedTuple

from postroom.base.log import get_logger
from postroom.base.setting_commands import NoValue, run_command

PREFIX: Final = "POSTROOM_"
FILE: Final = "_FILE"
COMMAND: Final = "_COMMAND"
CREDENTIALS: Final = "CREDENTIALS_DIRECTORY"
BYTES_MAX: Final = 65_536
WATCH_EVERY_S: Final = 5.0
WATCH_EVERY_MAX_S: Final = 60.0
SHARE_MAX: Final = 0.05
"""Of the time, for commands that are slow: the pause is longer then, `WATCH_EVERY_MAX_S` at most."""


log = get_logger(__name__)


class SettingFiles(NamedTuple):
    """`texts`: by the setting's name, without the line's end. `faults`: one line each, never with a value."""

    texts: dict[str, str]
    faults: tuple[str, ...]


def setting_of(variable: str) -> str:
    """The setting whose value a variable holds, or says where to find."""
    return variable.removesuffix(FILE if variable.endswith(FILE) else COMMAND)


def read_files(environment: Mapping[str, str]) -> SettingFiles:
    """Read them all anew, and run the commands, all at once. Blocks, as long as the slowest command runs.

    What the environment itself says goes before a credential. Two of value, `_FILE` and `_COMMAND` are a
    fault, for nobody could tell which one is meant.
    """
    texts, faults, reads = dict[str, str](), list[str](), dict[str, Future[str]]()
    sources = _sources(environment)
    with ThreadPoolExecutor(len(sources) or 1) as threads:
        for variable, where in sorted(sources.items()):
            first, *others = _given(setting_of(variable), environment) or [variable]
            if not others:
                reads[variable] = threads.submit(_read, variable, where, environment)
            elif variable == others[0]:
                faults.append(f"{first}: set, and {variable} is set, too: keep one of them")
    for variable, read in reads.items():
        try:
            texts[setting_of(variable)] = read.result()
        except NoValue as error:
            faults.append(f"{variable}: {error}")
    return SettingFiles(texts, tuple(faults))


async def watch_files(
    known: SettingFiles | None,
    changed: Callable[[SettingFiles], Awaitable[None]],
    *,
    every_s: float = WATCH_EVERY_S,
) -> None:
    """Call `changed` within `every_s` after one of them has another text than is `known`, until cancelled.

    Slow commands make the pauses longer: `WATCH_EVERY_MAX_S` at most. Where `changed` raises, that is logged
    and it is called again: nobody else would ever notice that a secret is new.
    """
    pause_s = every_s
    while True:
        await asyncio.sleep(pause_s)
        began_s = monotonic()
        try:
            found = await asyncio.to_thread(read_files, os.environ)
            pause_s = max(every_s, min((monotonic() - began_s) / SHARE_MAX, WATCH_EVERY_MAX_S))
            if found != known:
                await changed(found)
                known = found
        except Exception as error:
            known = None  # half of it may be in use, so even what was known before is a change
            log.exception("settings.reload_failed", error=repr(error))


def _sources(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that say where a value is, and a `_FILE` for each credential that counts."""
    found = {
        name: where
        for name, where in environment.items()
        if name.startswith(PREFIX) and name.endswith((FILE, COMMAND))
    }
    credentials = environment.get(CREDENTIALS)
    if credentials is not None and Path(credentials).is_dir():
        named = {path.name.upper(): str(path) for path in Path(credentials).iterdir()}
        found |= {
            name + FILE: path
            for name, path in named.items()
            if name.startswith(PREFIX) and not _given(name, environment)
        }
    return found


def _given(setting: str, environment: Mapping[str, str]) -> list[str]:
    return [each for each in (setting, setting + FILE, setting + COMMAND) if each in environment]


def _read(variable: str, where: str, environment: Mapping[str, str]) -> str:
    """Errors: `NoValue`."""
    try:
        if variable.endswith(COMMAND):
            # What it needs to sign in is there; what we were told is not for it.
            others = {name: text for name, text in environment.items() if not name.startswith(PREFIX)}
            held = run_command(where, environment=others, bytes_max=BYTES_MAX)
        else:
            with open(where, "rb") as file:
                held = file.read(BYTES_MAX + 1)
        text = held.decode()
    except OSError as error:
        raise NoValue(f"{where} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise NoValue("no text") from None
    if len(held) > BYTES_MAX:
        raise NoValue("longer than 64 KiB")
    return text.rstrip("\r\n")
