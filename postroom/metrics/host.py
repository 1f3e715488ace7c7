"""What this process sees of its machine: room on disks, and certificates that will end."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from urllib.request import url2pathname

from prometheus_client.core import GaugeMetricFamily, Metric

from postroom.base.cached import Cached
from postroom.base.clock import Clock
from postroom.base.log import get_logger
from postroom.base.settings import Settings

log = get_logger(__name__)

CACHE_S: Final = 5.0
TIMEOUT_S: Final = 2.0
DAY_S: Final = 86_400.0


class HostReader:
    """Promise: one look at a time, at most every 5 s, and never longer than 2 s.

    A volume or certificate that cannot be seen from here has no sample. The database's volume can be
    seen only where PostgreSQL runs on this machine; once seen, it is also watched while the database
    is away, because a full disk is a reason for that.
    """

    def __init__(self, *, settings: Settings, clock: Clock) -> None:
        self._volumes = volumes(settings)
        self._certificates = certificates(settings)
        self._cached: Cached[list[Metric]] = Cached(self._look, ttl_s=CACHE_S, clock=clock)

    async def read(self, data_dir: str | None) -> list[Metric]:
        """The families. `data_dir`: the database's folder on this machine, where it is known."""
        if data_dir is not None:
            self._volumes["database"] = Path(data_dir)
        return await self._cached.get()

    async def _look(self) -> list[Metric]:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await asyncio.to_thread(lambda: list(families(self._volumes, self._certificates)))
        except TimeoutError:
            log.warning("machine.disk_hangs", volumes=sorted(self._volumes))
            return []


def volumes(settings: Settings) -> dict[str, Path]:
    """The folders that this service writes to, by the name of their label."""
    found = {"state": settings.state_dir}
    places = {"exports": settings.exports.url or ""}
    places |= {f"exports_{name}": each.url for name, each in settings.exports.destinations.items()}
    for name, url in places.items():
        parts = urlsplit(url)
        if parts.scheme == "file":
            found[name] = Path(url2pathname(parts.path))
    return found


def certificates(settings: Settings) -> dict[str, Path]:
    """The certificate files that the settings name, by the name of their label."""
    return {"email_ca": settings.email.tls_ca} if settings.email.tls_ca else {}


def families(volumes: Mapping[str, Path], certificates: Mapping[str, Path]) -> Iterator[Metric]:
    free = GaugeMetricFamily(
        "postroom_disk_free_ratio",
        "Free share of a volume, 0 to 1: state, exports, database; absent where it cannot be seen.",
        labels=["volume"],
    )
    for name, path in volumes.items():
        ratio = free_ratio(path)
        if ratio is not None:
            free.add_metric([name], ratio)
    yield free
    expiry = GaugeMetricFamily(
        "postroom_certificate_expiry_days",
        "Days until the first certificate of a file ends; absent without a file.",
        labels=["certificate"],
    )
    for name, path in certificates.items():
        days = expiry_days(path)
        if days is not None:
            expiry.add_metric([name], days)
    yield expiry


def free_ratio(path: Path) -> float | None:
    """Of the nearest folder that exists; None where the volume cannot be looked at."""
    try:
        existing = next((place for place in (path, *path.parents) if place.exists()), None)
        usage = shutil.disk_usage(existing) if existing else None
    except OSError:
        return None
    return usage.free / usage.total if usage and usage.total else None


def expiry_days(path: Path) -> float | None:
    """Until the first certificate of a PEM file ends, below 0 when it has; None for no readable file."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cafile=path)
    except (OSError, ssl.SSLError):
        return None
    ends_s = [ssl.cert_time_to_seconds(str(each["notAfter"])) for each in context.get_ca_certs()]
    return (min(ends_s) - time.time()) / DAY_S if ends_s else None
