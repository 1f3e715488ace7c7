"""Where files are put. `put` returns only when the file is durable under its final name."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, NotSupportedError, PreconditionError
from obstore.store import ObjectStore, from_url

from postroom.base.errors import SettingsInvalid
from postroom.base.log import remove_secrets
from postroom.channels.exports.folder import FolderStorage
from postroom.channels.exports.manifest import version_of

if TYPE_CHECKING:
    from obstore import UpdateVersion

_BUCKETS: Final = frozenset({"s3", "s3a", "gs", "az", "adl", "azure", "abfs", "abfss", "https"})
_PROVIDER_PREFIX = re.compile(r"^(aws|google|azure)_", re.ASCII)
_CLIENT_OPTIONS: Final = frozenset(
    {
        "allow_http",
        "allow_invalid_certificates",
        "connect_timeout",
        "default_content_type",
        "default_headers",
        "http1_only",
        "http2_keep_alive_interval",
        "http2_keep_alive_timeout",
        "http2_keep_alive_while_idle",
        "http2_max_frame_size",
        "http2_only",
        "pool_idle_timeout",
        "pool_max_idle_per_host",
        "proxy_url",
        "proxy_ca_certificate",
        "proxy_excludes",
        "randomize_addresses",
        "read_timeout",
        "root_certificate",
        "timeout",
        "user_agent",
    }
)
"""Options of the HTTP client. obstore takes them apart from the store's, and aborts when they are not."""

_ATTEMPTS: Final[Any] = {"max_retries": 2, "retry_timeout": timedelta(seconds=20)}


_ROUNDS_MAX: Final = 5
"""How often somebody else may be faster with a manifest."""


class Storage(Protocol):
    """Errors of `put`: those in `failures.STORAGE_ERRORS`; nothing is then visible under the name,
    or what an earlier attempt put there."""

    async def put(self, path: str, content: bytes) -> None: ...

    async def get(self, path: str) -> bytes:
        """Errors: also `FileNotFoundError`."""
        ...

    async def delete(self, path: str) -> None:
        """What is not there is deleted."""
        ...

    async def replace_older(self, path: str, content: bytes, version: int) -> int:
        """Put a manifest, unless one of this version or a newer one is there; nobody gets between.

        Returns: the version that is there now.
        """
        ...

    async def is_used(self, path: str) -> bool:
        """False where nothing was ever put, as far as the place of this path can tell by itself."""
        ...

    async def remove_leftovers(self) -> None:
        """What writers that were killed left beside the files."""
        ...


class BucketStorage:
    """Object storage. A put is one request: the store shows all of the file or nothing of it."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    async def put(self, path: str, content: bytes) -> None:
        await obstore.put_async(
            self._store,
            path,
            content,
            use_multipart=False,
            attributes={"Content-Type": _content_type(path)},
        )

    async def get(self, path: str) -> bytes:
        found = await obstore.get_async(self._store, path)
        return bytes(await found.bytes_async())

    async def delete(self, path: str) -> None:
        with suppress(FileNotFoundError):
            await obstore.delete_async(self._store, path)

    async def replace_older(self, path: str, content: bytes, version: int) -> int:
        """By the store's own comparison; one that has none takes what comes, and the caller looks again."""
        rounds = 0
        while True:
            mode = await self._older(path, version)
            if isinstance(mode, int):
                return mode
            rounds += 1
            try:
                await self._put_manifest(path, content, mode)
            except (AlreadyExistsError, PreconditionError):
                if rounds == _ROUNDS_MAX:
                    raise
            else:
                return version

    async def is_used(self, path: str) -> bool:  # noqa: ARG002
        """Yes: one that is gone refuses what is put there."""
        return True

    async def remove_leftovers(self) -> None:
        """There are none: the store shows nothing of a put that was broken off."""

    async def _older(self, path: str, version: int) -> int | Literal["create"] | UpdateVersion:
        """What is to be replaced; a number: the version that is there, and no older one."""
        try:
            found = await obstore.get_async(self._store, path)
            there = version_of(bytes(await found.bytes_async()))
        except FileNotFoundError:
            return "create"
        if there >= version:
            return there
        mode: UpdateVersion = {}  # a store has one of them or both
        if e_tag := found.meta["e_tag"]:
            mode["e_tag"] = e_tag
        if its_version := found.meta["version"]:
            mode["version"] = its_version
        return mode

    async def _put_manifest(
        self, path: str, content: bytes, mode: Literal["create", "overwrite"] | UpdateVersion
    ) -> None:
        try:
            await obstore.put_async(
                self._store,
                path,
                content,
                use_multipart=False,
                attributes={"Content-Type": "application/json"},
                mode=mode,
            )
        except (NotSupportedError, NotImplementedError):
            await self._put_manifest(path, content, "overwrite")


def _content_type(path: str) -> str:
    return "application/vnd.apache.parquet" if path.endswith(".parquet") else "application/gzip"


def open_storage(
    url: str | None, options: dict[str, str], state_dir: Path, *, setting: str = "POSTROOM_EXPORTS__"
) -> Storage:
    """The storage that the settings name; opens no connection and writes nothing yet.

    `options` are obstore's own, by name: `endpoint`, `region`, `access_key_id`, and so on; what is
    missing there comes from the environment (`AWS_…`). An `http://` endpoint is allowed as written.
    Errors: `SettingsInvalid` where no file could ever be written.
    """
    if url is None:
        return FolderStorage(state_dir / "exports")
    parts = urlsplit(url)
    if parts.scheme == "file":
        return FolderStorage(_folder(parts.netloc, parts.path, setting))
    if parts.scheme not in _BUCKETS:
        known = ", ".join(sorted(_BUCKETS | {"file"}))
        raise SettingsInvalid([f"{setting}URL: cannot export to {parts.scheme!r}; known are {known}"])
    return BucketStorage(_open_bucket(url, options, setting))


def _folder(host: str, path: str, setting: str) -> Path:
    if host not in ("", "localhost") or not path.startswith("/"):
        raise SettingsInvalid([f"{setting}URL: a folder is written as file:///absolute/path"])
    return Path(unquote(path))


def _open_bucket(url: str, options: dict[str, str], setting: str) -> ObjectStore:
    store, client = _split_options(options)
    opening: Callable[..., ObjectStore] = from_url
    try:
        return opening(url, config=store or None, client_options=client or None, retry_config=_ATTEMPTS)
    except (BaseError, ValueError, TypeError) as error:
        fault = remove_secrets(str(error).strip().splitlines()[0])
        raise SettingsInvalid([f"{setting}URL or {setting}OPTIONS: {fault}"]) from None


def _split_options(options: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Returns: the store's own options, and those of its HTTP client."""
    store: dict[str, str] = {}
    client: dict[str, str] = {}
    for name, value in options.items():
        plain = _PROVIDER_PREFIX.sub("", name.lower())
        if plain in _CLIENT_OPTIONS:
            client[plain] = value
        else:
            store[name.lower()] = value
        if plain.startswith("endpoint") and value.startswith("http://"):
            client.setdefault("allow_http", "true")
    return store, client
