"""A folder as object storage that survives a power cut.

obstore's local store renames into place but does not fsync. So a file is put under another name,
brought to the disk, renamed, and then the folders that name it are brought to the disk.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import obstore
from obstore.store import LocalStore

from postroom.channels.exports.manifest import version_of

STAGING: Final = ".staging"
"""Files on their way; the name of a dataset cannot start with a dot."""

STAGING_MAX_S: Final = 3_600.0
"""What lies in staging longer than this was left by a process that was killed."""


def sync_to_disk(path: Path) -> None:
    """Return when the file's content, or the folder's entries, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class FolderStorage:
    """Files below `root`, which is made when it is missing, for its owner only."""

    def __init__(self, root: Path, *, sync: Callable[[Path], None] = sync_to_disk) -> None:
        self._root = root
        self._sync = sync

    async def put(self, path: str, content: bytes) -> None:
        await asyncio.to_thread(self._prepare)
        store = LocalStore(self._root)
        staged = f"{STAGING}/{secrets.token_hex(8)}"
        try:
            await obstore.put_async(store, staged, content, use_multipart=False)
            await asyncio.to_thread(self._sync, self._root / staged)
            await obstore.rename_async(store, staged, path)
        except BaseException:
            (self._root / staged).unlink(missing_ok=True)
            raise
        await asyncio.to_thread(self._sync_folders, path)

    async def get(self, path: str) -> bytes:
        return await asyncio.to_thread((self._root / path).read_bytes)

    async def delete(self, path: str) -> None:
        """What is not there is deleted."""
        await asyncio.to_thread(self._delete, self._root / path)

    def _delete(self, target: Path) -> None:
        if target.parent.exists():
            target.unlink(missing_ok=True)
            self._sync(target.parent)

    async def replace_older(self, path: str, content: bytes, version: int) -> int:
        """The lock is the kernel's: it ends with whoever is killed, and so does what they were to do."""
        return await asyncio.to_thread(self._replace_older, path, content, version)

    def _replace_older(self, path: str, content: bytes, version: int) -> int:
        self._prepare()
        target = self._root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        staged = self._root / STAGING / secrets.token_hex(8)
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            there = version_of(target.read_bytes()) if target.exists() else -1
            if there >= version:
                return there
            staged.write_bytes(content)
            self._sync(staged)
            staged.rename(target)
            self._sync(target.parent)
        finally:
            os.close(folder)
            staged.unlink(missing_ok=True)
        return version

    async def is_used(self, path: str) -> bool:  # noqa: ARG002
        """By its staging folder, which the first put makes."""
        return await asyncio.to_thread((self._root / STAGING).exists)

    async def remove_leftovers(self) -> None:
        """What has been on its way for longer than `STAGING_MAX_S`."""
        await asyncio.to_thread(_remove_leftovers, self._root / STAGING)

    def _prepare(self) -> None:
        """Make the root and its staging folder, and bring each folder made to the disk."""
        staging = self._root / STAGING
        missing = [folder for folder in (staging, *staging.parents) if not folder.exists()]
        for folder in reversed(missing):
            folder.mkdir(mode=0o700, exist_ok=True)
            self._sync(folder.parent)
        if not missing:
            _remove_leftovers(staging)

    def _sync_folders(self, path: str) -> None:
        """From the file's own folder up to the root: each may be new."""
        folder = (self._root / path).parent
        while folder != self._root:
            self._sync(folder)
            folder = folder.parent
        self._sync(self._root)


def _remove_leftovers(staging: Path) -> None:
    # Compared with times that the file system wrote, so the machine's own clock is the right one.
    oldest = time.time() - STAGING_MAX_S
    for leftover in staging.iterdir() if staging.exists() else ():
        try:
            if leftover.stat().st_mtime < oldest:
                leftover.unlink()
        except FileNotFoundError:
            continue  # another worker's file has just reached its place
