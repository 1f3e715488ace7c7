"""Where files are put. `put` returns only when the file is durable under its final name."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import ObjectStore, from_url

from postroom.base.errors import SettingsInvalid
from postroom.base.log import remove_secrets
from postroom.base.settings import ExportSettings
from postroom.channels.exports.folder import FolderStorage

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


class Storage(Protocol):
    """Errors of `put`: those in `failures.STORAGE_ERRORS`; nothing is then visible under the name,
    or what an earlier attempt put there."""

    async def put(self, path: str, content: bytes) -> None: ...


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
            attributes={"Content-Type": "application/gzip"},
        )


def open_storage(settings: ExportSettings, state_dir: Path) -> Storage:
    """The storage that the settings name; opens no connection and writes nothing yet.

    `options` are obstore's own, by name: `endpoint`, `region`, `access_key_id`, and so on; what is
    missing there comes from the environment (`AWS_…`). An `http://` endpoint is allowed as written.
    Errors: `SettingsInvalid` where no file could ever be written.
    """
    if settings.url is None:
        return FolderStorage(state_dir / "exports")
    parts = urlsplit(settings.url)
    if parts.scheme == "file":
        return FolderStorage(_folder(parts.netloc, parts.path))
    if parts.scheme not in _BUCKETS:
        known = ", ".join(sorted(_BUCKETS | {"file"}))
        raise SettingsInvalid(
            [f"POSTROOM_EXPORTS__URL: cannot export to {parts.scheme!r}; known are {known}"]
        )
    return BucketStorage(_open_bucket(settings.url, settings.options))


def _folder(host: str, path: str) -> Path:
    if host not in ("", "localhost") or not path.startswith("/"):
        raise SettingsInvalid(["POSTROOM_EXPORTS__URL: a folder is written as file:///absolute/path"])
    return Path(unquote(path))


def _open_bucket(url: str, options: dict[str, str]) -> ObjectStore:
    store, client = _split_options(options)
    opening: Callable[..., ObjectStore] = from_url
    try:
        return opening(url, config=store or None, client_options=client or None, retry_config=_ATTEMPTS)
    except (BaseError, ValueError, TypeError) as error:
        fault = remove_secrets(str(error).strip().splitlines()[0])
        raise SettingsInvalid([f"POSTROOM_EXPORTS__URL or __OPTIONS: {fault}"]) from None


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
