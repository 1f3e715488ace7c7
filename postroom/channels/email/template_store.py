"""Versions of templates: what a mail was rendered from is kept, so that it is rendered from it again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from postroom.base import json
from postroom.base.clock import Clock
from postroom.base.db import Connection, Pool, query, transaction
from postroom.channels.email.template import TemplateFailed
from postroom.channels.email.template_version import hash_of
from postroom.encryption.keyring import Keyring

_NOTE: Final = query(__package__, "note_template")
_FETCH: Final = query(__package__, "fetch_template")
_PRUNE: Final = query(__package__, "prune_templates")

NOTED_AGAIN_S: Final = 86_400.0
KEPT_MAX: Final = 50
_ABOUT: Final = "email template"


@dataclass(frozen=True, slots=True)
class KeptTemplate:
    """`name`: of the template. `since`: when it was first rendered from these files."""

    name: str
    files: dict[str, str]
    since: datetime


@dataclass(frozen=True, slots=True)
class _Noted:
    files: Mapping[str, str]
    key: str | None
    content_hash: bytes
    at_s: float


class TemplateStore:
    """Names versions, keeps them and finds them again.

    Promise: what a hash names is in the database before anybody is told the hash, and is what it was then:
    with keys, nobody who writes to the database makes another version that has a hash of ours.
    A version costs a statement when it is new to this process, and one a day.
    """

    def __init__(self, *, pool: Pool, clock: Clock, keyring: Keyring) -> None:
        self._pool = pool
        self._clock = clock
        self._keyring = keyring
        self._noted: dict[str, _Noted] = {}
        self._kept: dict[bytes, Mapping[str, str]] = {}
        self._turn = asyncio.Lock()

    async def note(self, name: str, files: Mapping[str, str]) -> bytes:
        """The hash of what a template was rendered from just now. Errors: the database's own."""
        found = self._found(name, files)
        if found is None:
            async with self._turn:  # whoever waited here finds what the first one has noted
                found = self._found(name, files) or await self._note(name, files)
        return found.content_hash

    def _found(self, name: str, files: Mapping[str, str]) -> _Noted | None:
        noted = self._noted.get(name)
        if (
            noted is None
            or noted.files is not files
            or noted.key != self._keyring.current
            or self._clock.monotonic() > noted.at_s + NOTED_AGAIN_S
        ):
            return None
        return noted

    async def _note(self, name: str, files: Mapping[str, str]) -> _Noted:
        key, now_s = self._keyring.current, self._clock.monotonic()
        content_hash = content_hashes(files, self._keyring)[0]
        async with transaction(self._pool) as conn:
            await conn.execute(_NOTE, content_hash, name, json.encode(dict(files)))
        self._keep(content_hash, files)
        self._noted[name] = noted = _Noted(files, key, content_hash, now_s)
        return noted

    async def fetch(self, name: str, content_hash: bytes) -> Mapping[str, str]:
        """The files that a hash names. Errors: `TemplateFailed` where they are gone, or are others."""
        files = self._kept.get(content_hash)
        if files is None:
            async with self._pool.acquire() as conn:
                kept = await fetch_template(conn, content_hash, self._keyring)
            if kept is None:
                raise TemplateFailed(
                    f"template {name}: the version {shown(content_hash)}, from which this mail was rendered "
                    "first, is not kept any more; to send it as it is now: postroom replay ID --fresh"
                )
            files = kept.files
            self._keep(content_hash, files)
        return files

    def _keep(self, content_hash: bytes, files: Mapping[str, str]) -> None:
        self._kept.pop(content_hash, None)
        while len(self._kept) >= KEPT_MAX:
            del self._kept[next(iter(self._kept))]
        self._kept[content_hash] = files


def content_hashes(files: Mapping[str, str], keyring: Keyring) -> list[bytes]:
    """What the ledger calls a version: first what to write, then what may have been written before."""
    return [each[:16] for each in keyring.hashes(_ABOUT, hash_of(files).hex())]


def shown(content_hash: bytes) -> str:
    """As people read it."""
    return content_hash.hex()[:12]


async def fetch_template(conn: Connection, content_hash: bytes, keyring: Keyring) -> KeptTemplate | None:
    """None where there is no such version, or where its files are not those that the hash names."""
    row = await conn.fetchrow(_FETCH, content_hash)
    if row is None:
        return None
    files = msgspec.json.decode(row["files"], type=dict[str, str])
    if content_hash not in content_hashes(files, keyring):
        return None
    return KeptTemplate(row["name"], files, row["first_used_at"])


async def prune_templates(conn: Connection, *, days: int, batch_max: int) -> int:
    """Forget versions that nothing was rendered from for so long. Returns: how many.

    Transaction: the caller's.
    """
    count: int = await conn.fetchval(_PRUNE, days, batch_max)
    return count
