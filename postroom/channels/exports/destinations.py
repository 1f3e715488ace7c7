"""Several places for files. In the ledger the name of a place stands before the path: `acme://orders/…`.

So one folder in two places has two manifests, and what is stored is found where it was put, whatever the
settings say by then.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from postroom.base.export_settings import ExportSettings, destination_setting
from postroom.channels.exports.storage import Storage, open_storage

_MARK: Final = "://"


def place(destination: str | None, path: str) -> str:
    return path if destination is None else f"{destination}{_MARK}{path}"


def destination_of(path: str) -> str | None:
    """None: the one that all others use."""
    name, mark, _ = path.partition(_MARK)
    return name if mark else None


def path_in(path: str) -> str:
    """Below the root of its storage."""
    return path.partition(_MARK)[2] or path


class DestinationUnknown(OSError):
    """Files are in a place that the settings do not name any more."""


class PlaceEmpty(OSError):
    """Files were put there, and none is there now: it is not mounted, or the settings name another folder."""


class Destinations:
    """A storage that is several: each path says where it is. Errors: `DestinationUnknown`, too."""

    def __init__(self, main: Storage, named: Mapping[str, Storage]) -> None:
        self._storages = {"": main, **named}

    async def put(self, path: str, content: bytes) -> None:
        await self._of(path).put(path_in(path), content)

    async def get(self, path: str) -> bytes:
        return await self._of(path).get(path_in(path))

    async def delete(self, path: str) -> None:
        await self._of(path).delete(path_in(path))

    async def replace_older(self, path: str, content: bytes, version: int) -> int:
        return await self._of(path).replace_older(path_in(path), content, version)

    async def is_used(self, path: str) -> bool:
        return await self._of(path).is_used(path_in(path))

    async def remove_leftovers(self) -> None:
        failures: list[OSError] = []
        for storage in self._storages.values():
            try:
                await storage.remove_leftovers()
            except OSError as failed:
                failures.append(failed)
        if failures:
            raise failures[0]

    def _of(self, path: str) -> Storage:
        name = destination_of(path) or ""
        if name not in self._storages:
            setting = destination_setting(name, "URL")
            raise DestinationUnknown(f"the settings no longer name the place of these files: {setting}")
        return self._storages[name]


def open_destinations(settings: ExportSettings, state_dir: Path) -> Destinations:
    """All places that the settings name; opens no connection. Errors: `SettingsInvalid`."""
    return Destinations(
        open_storage(settings.url, settings.options, state_dir),
        {
            name: open_storage(
                each.url,
                {option: value.get_secret_value() for option, value in each.options.items()},
                state_dir,
                setting=destination_setting(name, ""),
            )
            for name, each in settings.destinations.items()
        },
    )
