"""Prometheus and Alertmanager, the real ones, with our own rules and routes, faster by one factor."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
from aiohttp import web

from drill import scaling
from drill.programs import start_program
from postroom.base.listener import free_port
from postroom.dev.process import ChildProcess

MONITORING: Final = Path(__file__).parents[1] / "monitoring"
SCRAPE_S: Final = 1
START_S: Final = 60.0
POLL_S: Final = 0.5
PACKAGES: Final = {
    "prometheus": ("prometheus", "promtool"),
    "prometheus-alertmanager": ("prometheus-alertmanager", "amtool"),
    "postgresql-client": ("psql",),
    "curl": ("curl",),
}


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert as Alertmanager holds it. Suppressed: a cause that was named already silences it."""

    name: str
    labels: dict[str, str]
    annotations: dict[str, str]
    suppressed: bool

    @property
    def unreadable(self) -> list[str]:
        """Annotations whose template failed: Prometheus says so in the text itself."""
        return [name for name, text in self.annotations.items() if "<error" in text or "<no value>" in text]


@dataclass(slots=True)
class Watch:
    """The two programs, what they say, and what they sent out: `sent` counts by receiver and alert."""

    folder: Path
    prometheus_url: str
    alertmanager_url: str
    session: aiohttp.ClientSession
    sent: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def configuration(self) -> Path:
        return self.folder / "prometheus.yml"

    async def alerts(self) -> list[Alert]:
        """What Alertmanager holds now, the ended ones left out."""
        async with self.session.get(f"{self.alertmanager_url}/api/v2/alerts") as response:
            found: list[dict[str, Any]] = await response.json()
        return [
            Alert(
                name=each["labels"]["alertname"],
                labels=each["labels"],
                annotations=each["annotations"],
                suppressed=each["status"]["state"] == "suppressed",
            )
            for each in found
        ]

    async def reload(self) -> None:
        async with self.session.post(f"{self.prometheus_url}/-/reload") as response:
            response.raise_for_status()

    async def receive(self, request: web.Request) -> web.Response:
        """What a pager would get."""
        body = await request.json()
        for alert in body["alerts"]:
            if alert["status"] == "firing":
                self.sent[request.path.strip("/"), alert["labels"]["alertname"]] += 1
        return web.Response()


@asynccontextmanager
async def open_watch(folder: Path, *, target: str, token: str, factor: float) -> AsyncIterator[Watch]:
    """Start both in `folder`, which exists, on free ports; stop them when left.

    Errors: `TimeoutError`, `RuntimeError`.
    """
    prometheus_port, alertmanager_port = free_port(), free_port()
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20))
        )
        watch = Watch(
            folder,
            f"http://127.0.0.1:{prometheus_port}",
            f"http://127.0.0.1:{alertmanager_port}",
            session,
        )
        pager_port = await _open_pager(watch, stack)
        (folder / "metrics_token").write_text(token)
        write_rules(folder, factor)
        write_configuration(folder, target, f"127.0.0.1:{alertmanager_port}")
        write_routing(folder, pager_port, factor)
        for command, url in (
            (_alertmanager(folder, alertmanager_port), watch.alertmanager_url),
            (_prometheus(folder, prometheus_port, factor), watch.prometheus_url),
        ):
            program = await start_program(command, log_path=folder / f"{command[0]}.log")
            stack.push_async_callback(program.stop)
            await _wait_ready(session, program, url)
        yield watch


async def _open_pager(watch: Watch, stack: AsyncExitStack) -> int:
    pager = web.Application()
    pager.router.add_post("/{receiver}", watch.receive)
    runner = web.AppRunner(pager, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return int(runner.addresses[0][1])


def write_rules(folder: Path, factor: float) -> None:
    (folder / "rules").mkdir(exist_ok=True)
    for path in sorted((MONITORING / "prometheus" / "rules").glob("*.yml")):
        scaled = scaling.scale_rules(scaling.read(path.read_text()), factor)
        (folder / "rules" / path.name).write_text(scaling.write(scaled))


def write_configuration(folder: Path, target: str, alertmanager: str) -> None:
    """The real one, but for the addresses and how often it looks."""
    document = scaling.read((MONITORING / "prometheus" / "prometheus.yml").read_text())
    document["global"] |= dict.fromkeys(
        ("scrape_interval", "scrape_timeout", "evaluation_interval"), f"{SCRAPE_S}s"
    )
    document["alerting"]["alertmanagers"] = [{"static_configs": [{"targets": [alertmanager]}]}]
    document["scrape_configs"][0]["static_configs"] = [{"targets": [target]}]
    (folder / "prometheus.yml").write_text(scaling.write(document))


def write_routing(folder: Path, pager_port: int, factor: float) -> None:
    document = scaling.read((MONITORING / "alertmanager" / "alertmanager.yml").read_text())
    document["route"] = scaling.scale_route(document["route"], factor)
    for receiver in document["receivers"]:
        for webhook in receiver["webhook_configs"]:
            webhook["url"] = f"http://127.0.0.1:{pager_port}/{receiver['name']}"
    (folder / "alertmanager.yml").write_text(scaling.write(document))


def _prometheus(folder: Path, port: int, factor: float) -> list[str]:
    lookback = scaling.scale_duration("5m", factor)
    return [
        "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'series'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--web.enable-lifecycle",
        f"--query.lookback-delta={lookback}",
        f"--rules.alert.resend-delay={5 * SCRAPE_S}s",
    ]


def _alertmanager(folder: Path, port: int) -> list[str]:
    return [
        "prometheus-alertmanager",
        f"--config.file={folder / 'alertmanager.yml'}",
        f"--storage.path={folder / 'notifications'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]


async def _wait_ready(session: aiohttp.ClientSession, program: ChildProcess, url: str) -> None:
    async with asyncio.timeout(START_S):
        while not await _is_ready(session, url):
            if program.exit_code is not None:
                raise RuntimeError(f"it ended at start; the end of {program.log_path}:\n{program.tail()}")
            await asyncio.sleep(POLL_S)


async def _is_ready(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(f"{url}/-/ready") as response:
            return response.ok
    except aiohttp.ClientError:
        return False
