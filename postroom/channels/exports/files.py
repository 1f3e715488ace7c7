"""What is done with files in the storage: written from the ledger, listed in a manifest."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from uuid import UUID

from postroom.base.db import Pool
from postroom.base.export_settings import ExportSettings
from postroom.channels.exports import formats, schema_store, store
from postroom.channels.exports.destinations import PlaceEmpty, open_destinations
from postroom.channels.exports.failures import StorageFailed, from_storage
from postroom.channels.exports.folder import STAGING
from postroom.channels.exports.manifest import encode, manifest_path
from postroom.channels.exports.model import ExportFile, ExportRecord, Stored
from postroom.channels.exports.storage import Storage
from postroom.encryption.keyring import Keyring

PUT_TIMEOUT_S: Final = 60.0
_ROUNDS_MAX: Final = 5
_EMPTY: Final = (
    f"files were put there before, and it is empty: mount it, or make {STAGING} in it to begin anew"
)


class ExportFiles:
    """Promise: whatever is interrupted, the manifest in the storage lists whole files, each record once.

    A file is stored, then the ledger says so, then the manifest is written from the ledger.
    """

    def __init__(
        self,
        *,
        pool: Pool,
        settings: ExportSettings,
        state_dir: Path,
        keyring: Keyring,
        storage: Storage | None = None,
        put_timeout_s: float = PUT_TIMEOUT_S,
    ) -> None:
        self._pool = pool
        self._settings = settings
        self._state_dir = state_dir
        self._keyring = keyring
        self._storage = storage
        self.put_timeout_s = put_timeout_s

    def use(self, storage: Storage) -> None:
        """Put files there from the next one on."""
        self._storage = storage

    def open(self) -> Storage:
        """Errors: `SettingsInvalid` where the settings name no usable storage."""
        if self._storage is None:
            self._storage = open_destinations(self._settings, self._state_dir)
        return self._storage

    async def store(self, file: ExportFile, *, fields: Mapping[str, str]) -> list[UUID] | None:
        """Write all records of the file, whichever are due now, and let the manifest list it.

        Returns: their messages; None where the file was given up meanwhile. Errors: `StorageFailed`;
        `Unreadable`.
        """
        records = await self._records(file)
        stored = await self._put(file, records, fields)
        async with self._pool.acquire() as conn:
            if not await store.mark_stored(conn, file=file, stored=stored):
                return None
        await self.write_manifest(file.folder)
        return [record.id for record in records]

    async def store_again(self, file: ExportFile, *, records: int) -> bool:
        """Write a stored file once more, from the ledger. Returns: False where a record of it is gone there.

        Errors: `StorageFailed`; `Unreadable`.
        """
        found = await self._records(file)
        async with self._pool.acquire() as conn:
            fields = await schema_store.fetch_fields(conn, file_id=file.id)
        stored = await self._put(file, found, fields) if len(found) == records else None
        async with self._pool.acquire() as conn:
            await store.mark_again(conn, file=file, stored=stored)
        await self.write_manifest(file.folder)
        return stored is not None

    async def write_manifest(self, folder: str) -> None:
        """Bring the manifest of the folder up to what the ledger says. Errors: `StorageFailed`.

        Who is late with an older version replaces nothing. Where the storage cannot compare, they see here
        that a newer one was there, and write the newest.
        """
        for _ in range(_ROUNDS_MAX):
            async with self._pool.acquire() as conn:
                manifest = await store.fetch_manifest(conn, folder=folder)
            path, content = manifest_path(folder), encode(manifest)
            await self._refuse_empty(folder)
            with from_storage():
                async with asyncio.timeout(self.put_timeout_s / 2):
                    there = await self.open().replace_older(path, content, manifest.version)
            async with self._pool.acquire() as conn:
                newest = await store.mark_written(conn, folder=folder, version=there)
            if newest == manifest.version:
                return

    async def _records(self, file: ExportFile) -> list[ExportRecord]:
        async with self._pool.acquire() as conn:
            return await store.list_records(conn, file_id=file.id, keyring=self._keyring)

    async def _put(
        self, file: ExportFile, records: Sequence[ExportRecord], fields: Mapping[str, str]
    ) -> Stored:
        content = await asyncio.to_thread(formats.write, file.path, records, fields)
        return await self.put(file.path, content, records=len(records))

    async def put(self, path: str, content: bytes, *, records: int) -> Stored:
        """Errors: `StorageFailed`, as in all that asks the storage."""
        await self._refuse_empty(path.rpartition("/")[0])
        with from_storage():
            async with asyncio.timeout(self.put_timeout_s):
                await self.open().put(path, content)
        return Stored(records=records, size_bytes=len(content), sha256=hashlib.sha256(content).digest())

    async def get(self, file: ExportFile) -> bytes | None:
        """None where somebody lost it. Errors: `StorageFailed`, also where its whole place is away."""
        try:
            return await self._get(file.path)
        except StorageFailed as failed:
            if not isinstance(failed.error, FileNotFoundError):
                raise
        await self._prove_place(file.folder)
        return None

    async def delete(self, file: ExportFile) -> None:
        """What is not there is deleted. Errors: `StorageFailed`, also where its whole place is away."""
        await self._prove_place(file.folder)
        with from_storage():
            async with asyncio.timeout(self.put_timeout_s):
                await self.open().delete(file.path)

    async def remove_leftovers(self) -> None:
        """What killed writers left beside the files. Errors: `StorageFailed`."""
        with from_storage():
            async with asyncio.timeout(self.put_timeout_s):
                await self.open().remove_leftovers()

    async def _get(self, path: str) -> bytes:
        with from_storage():
            async with asyncio.timeout(self.put_timeout_s):
                return await self.open().get(path)

    async def _refuse_empty(self, folder: str) -> None:
        """What is put into a folder that is not mounted is hidden once it is. Errors: `StorageFailed`."""
        with from_storage():
            async with asyncio.timeout(self.put_timeout_s):
                used = await self.open().is_used(folder)
        if not used:
            try:
                await self._find_manifest(folder)
            except StorageFailed as failed:
                if isinstance(failed.error, FileNotFoundError):
                    raise StorageFailed(PlaceEmpty(_EMPTY)) from None
                raise

    async def _prove_place(self, folder: str) -> None:
        """A bucket that is gone, or a folder that is not mounted, has no file either: before one is believed
        to be lost or deleted, a manifest is read. Errors: `StorageFailed`."""
        if not await self._find_manifest(folder):
            await self.write_manifest(folder)

    async def _find_manifest(self, folder: str) -> bool:
        """Read its own, or, where somebody has deleted all of its folder, another one of the same place.

        Returns: False where the ledger knows of none. Errors: `StorageFailed` where none is found.
        """
        async with self._pool.acquire() as conn:
            folders = await store.list_manifests(conn, folder=folder)
        for each in folders:
            try:
                await self._get(manifest_path(each))
            except StorageFailed as failed:
                if each == folders[-1] or not isinstance(failed.error, FileNotFoundError):
                    raise
            else:
                return True
        return False
