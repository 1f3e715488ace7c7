"""What silences what, asked of a real Alertmanager with our configuration."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import aiohttp
import pytest

from drill.programs import start_program
from postroom.base.listener import free_port
from tests.monitoring.promtool import MONITORING

LIMIT_S: Final = 20.0
POLL_S: Final = 0.05
# Sent last. Once its warning is silenced, Alertmanager has seen all that was sent before.
CONTROL: Final = (
    {"alertname": "Control", "severity": "critical"},
    {"alertname": "Control", "severity": "warning"},
)

Labels = Mapping[str, str]

needs_alertmanager_itself = pytest.mark.needs("prometheus-alertmanager")


def alert(name: str, severity: str = "warning", **labels: str) -> Labels:
    return {"alertname": name, "severity": severity, **labels}


DOWN: Final = alert("PostroomDown", "critical")
SILENT: Final = alert("JobsRunnerSilent", "critical")
UNREADY: Final = {
    check: alert("ReadyzFailures", "critical", check=check) for check in ("database", "migrations", "jobs")
}
PROBED: Final = alert("ReadyzFailures", "critical", route="/readyz")
EMAIL_OPEN: Final = alert("CircuitOpenLong", "critical", circuit="email", channel="email")
BURN: Final = alert("StripeEffectsBudgetBurn", "critical", window="fast")
REFUSED: Final = alert("WebhookAcceptanceBudgetBurn", "critical", window="fast")

SILENCED: Final = (
    *((DOWN, alert(name)) for name in ("MetricsAbsent", "JobStale", "DeliveriesLate", "BacklogGrowing")),
    *((cause, alert("ScheduleStale")) for cause in (DOWN, SILENT, UNREADY["database"])),
    *((DOWN, target) for target in (SILENT, BURN, REFUSED)),
    *((UNREADY["database"], target) for target in (alert("MetricsAbsent"), SILENT, REFUSED)),
    (UNREADY["migrations"], SILENT),
    *((SILENT, target) for target in (UNREADY["jobs"], PROBED, BURN)),
    *((SILENT, alert(name)) for name in ("JobStale", "DeliveriesLate", "BacklogGrowing")),
    (EMAIL_OPEN, alert("BacklogGrowing", channel="email")),
    (EMAIL_OPEN, alert("DeliveriesLate", channel="email")),
    (EMAIL_OPEN, alert("DeliveriesFailing", channel="email")),
    (alert("StripeWebhookErrors", "critical"), BURN),
    (BURN, alert("StripeEffectsBudgetBurn", window="slow")),
    ({**SILENT, "ledger": "eu"}, alert("JobStale", ledger="eu")),
)
HEARD: Final = (
    (DOWN, alert("LedgerDrift", "critical")),
    (SILENT, alert("OutboxDeadLettersGrowing")),
    (EMAIL_OPEN, alert("BacklogGrowing", channel="webhook")),
    (EMAIL_OPEN, alert("EmailDeadLettersGrowing")),
    (SILENT, alert("DeliveriesFailing", channel="stripe")),
    (BURN, alert("WebhookAcceptanceBudgetBurn", window="slow")),
    (DOWN, {**alert("MetricsAbsent"), "environment": "another"}),
    (SILENT, {**alert("JobStale"), "environment": "another"}),
    ({**SILENT, "ledger": "eu"}, alert("JobStale", ledger="us")),
    ({**UNREADY["database"], "ledger": "eu"}, {**SILENT, "ledger": "us"}),
)


async def wait_for(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not await condition():
            await asyncio.sleep(POLL_S)


class Alertmanager:
    """Each question in an environment of its own, so that one process answers them all."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._session = session

    async def silenced(self, source: Labels, target: Labels) -> tuple[bool, bool]:
        """Whether each of the two is, while both fire."""
        environment = uuid4().hex
        sent = [
            {"environment": environment, **labels, "nr": str(nr)}
            for nr, labels in enumerate((source, target))
        ]
        control = [{"environment": environment, **labels} for labels in CONTROL]
        body = [{"labels": labels} for labels in (*sent, *control)]
        async with self._session.post(f"{self._url}/api/v2/alerts", json=body) as response:
            response.raise_for_status()

        async def digested() -> bool:
            return await self._state(control[1]) == "suppressed"

        await wait_for(digested)
        first, second = [await self._state(labels) == "suppressed" for labels in sent]
        return first, second

    async def _state(self, labels: Labels) -> str:
        filters = [("filter", f'{name}="{value}"') for name, value in labels.items()]
        async with self._session.get(f"{self._url}/api/v2/alerts", params=filters) as response:
            found: list[dict[str, Any]] = await response.json()
        return str(found[0]["status"]["state"]) if found else ""


@pytest.fixture
async def alertmanager(tmp_path: Path) -> AsyncIterator[Alertmanager]:
    port = free_port()
    program = await start_program(
        [
            "prometheus-alertmanager",
            f"--config.file={MONITORING / 'alertmanager' / 'alertmanager.yml'}",
            f"--storage.path={tmp_path}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
        ],
        log_path=tmp_path / "log",
    )
    url = f"http://127.0.0.1:{port}"
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:

            async def ready() -> bool:
                try:
                    async with session.get(f"{url}/-/ready") as response:
                        return response.ok
                except aiohttp.ClientError:
                    return False

            await wait_for(ready)
            yield Alertmanager(url, session)
    finally:
        await program.stop()


@needs_alertmanager_itself
async def test_a_cause_silences_what_follows_from_it_and_nothing_else(alertmanager: Alertmanager) -> None:
    """And is heard itself: two alerts that silence each other would reach nobody."""
    wrong = []
    for pairs, expected in ((SILENCED, (False, True)), (HEARD, (False, False))):
        for source, target in pairs:
            found = await alertmanager.silenced(source, target)
            if found != expected:
                wrong.append(f"{source} and {target}: silenced are {found}, expected {expected}")
    assert wrong == []
