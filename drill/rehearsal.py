"""Breaks, waits for the alert, does what the page says, waits for the end, and adds up the ledger."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from drill.pages import Page, count_commands, read_page
from drill.scenario import Scenario, Scene
from drill.shell import Ran, run_block
from drill.watch import Alert
from postroom.outbox.ledger.balance import Balance, fetch_balance

WATCHDOG: Final = "Watchdog"
FIRES_WITHIN_S: Final = 150.0
ENDS_WITHIN_S: Final = 180.0
TOLD_WITHIN_S: Final = 30.0
QUIET_WITHIN_S: Final = 150.0
FADES_S: Final = 20.0
POLL_S: Final = 0.5
SHELLS_MAX: Final = 2
TAIL_LINES: Final = 12


class Failed(Exception):
    """The drill failed; the text says what was waited for, or what went wrong."""


@dataclass(slots=True)
class Row:
    """One line of the table."""

    alert: str
    fault: str
    fire_s: float | None = None
    clear_s: float | None = None
    told: str = ""
    commands: int = 0
    failure: str | None = None
    skipped: str | None = None


@dataclass(slots=True)
class Rehearsal:
    """Runs scenarios against one scene and watches for pages that nobody's fault explains."""

    scene: Scene
    say: Callable[[str], None]
    socket: Path
    unrelated: set[str] = field(default_factory=set)
    _allowed: Counter[str] = field(default_factory=Counter)
    _fading: dict[str, float] = field(default_factory=dict)
    _shells: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(SHELLS_MAX))

    async def run(self, scenario: Scenario) -> list[Row]:
        """Returns: a row for each of its alerts; those that were not reached say why."""
        rows = {name: Row(name, scenario.fault) for name in scenario.alerts}
        reason = scenario.impossible()
        if reason is not None:
            for row in rows.values():
                row.skipped = reason
            return list(rows.values())
        names = {*scenario.alerts, *scenario.also}
        with self.explaining(names):
            try:
                await self._rehearse(scenario, rows)
            except (Failed, TimeoutError, OSError) as error:
                for row in rows.values():
                    row.failure = row.failure or f"{type(error).__name__}: {error}"
                self.say(f"  {scenario.name}: FAILED: {error}")
        return list(rows.values())

    @contextmanager
    def explaining(self, names: Iterable[str]) -> Iterator[None]:
        """What is done meanwhile explains these alerts, also a moment later, and until they end."""
        names = set(names)
        self._allowed.update(names)
        try:
            yield
        finally:
            self._allowed.subtract(names)
            self._fading |= dict.fromkeys(names, time.monotonic() + FADES_S)

    async def wait_quiet(self) -> None:
        """Errors: `Failed` naming what does not end."""
        deadline = time.monotonic() + QUIET_WITHIN_S
        while True:
            found = await self.scene.watch.alerts()
            loud = {alert.name for alert in found} - {WATCHDOG}
            if found and not loud:
                return
            if time.monotonic() > deadline:
                raise Failed(f"it does not get quiet: {', '.join(sorted(loud)) or 'no Watchdog'}")
            await asyncio.sleep(POLL_S)

    async def watch_for_unrelated(self) -> None:
        """Until cancelled: note every alert that would page somebody and that no fault here explains."""
        while True:
            held = {alert.name for alert in await self.scene.watch.alerts() if not alert.suppressed}
            now_s = time.monotonic()
            self._fading = {n: until_s for n, until_s in self._fading.items() if n in held or now_s < until_s}
            explained = {name for name, count in self._allowed.items() if count > 0}
            unexplained = held - {WATCHDOG} - explained - set(self._fading)
            for name in unexplained - self.unrelated:
                self.say(f"  UNRELATED: {name}")
            self.unrelated |= unexplained
            await asyncio.sleep(POLL_S)

    async def balance(self) -> Balance:
        """Both sides of the ledger, now."""
        async with (
            self.scene.installation.pool.acquire() as conn,
            conn.transaction(isolation="repeatable_read", readonly=True),
        ):
            return await fetch_balance(conn)

    async def _rehearse(self, scenario: Scenario, rows: Mapping[str, Row]) -> None:
        self.say(f"  {scenario.name}: {scenario.fault}")
        sent_before = Counter(self.scene.watch.sent)
        await scenario.break_it(self.scene)
        started_s = time.monotonic()
        await asyncio.gather(
            *(self._fires(scenario, rows[name], started_s, sent_before) for name in scenario.alerts)
        )
        pages = [read_page(name) for name in scenario.alerts]
        variables = {**await scenario.variables(self.scene), **await self._labels(scenario)}
        for page in pages:
            await self._paste(page, page.diagnosis, variables, rows[page.alert])
        await scenario.mend_outside(self.scene)
        for page in pages:
            await self._paste(page, page.mitigation, variables, rows[page.alert])
        mended_s = time.monotonic()
        await asyncio.gather(*(self._ends(scenario, rows[name], mended_s) for name in scenario.alerts))
        self.say(f"  {scenario.name}: over")

    async def _fires(
        self, scenario: Scenario, row: Row, started_s: float, sent_before: Counter[tuple[str, str]]
    ) -> None:
        alert = await self._held(scenario, row.alert, within_s=FIRES_WITHIN_S)
        if alert.unreadable:
            raise Failed(f"{row.alert} cannot be read: {', '.join(alert.unreadable)}")
        row.fire_s = time.monotonic() - started_s
        self.say(
            f"    {row.alert} fires after {row.fire_s:.0f} s{' (silenced by its cause)' * alert.suppressed}"
        )
        row.told = "silenced" if alert.suppressed else await self._told(scenario, row.alert, sent_before)

    async def _told(self, scenario: Scenario, name: str, sent_before: Counter[tuple[str, str]]) -> str:
        """Who has got a message since the fault. An alert may be silenced before its message goes out."""
        deadline = time.monotonic() + TOLD_WITHIN_S
        while time.monotonic() < deadline:
            told = sorted(
                receiver for receiver, alert in self.scene.watch.sent - sent_before if alert == name
            )
            if told:
                return " ".join(told)
            held = _matching(await self.scene.watch.alerts(), scenario, name)
            if any(alert.suppressed for alert in held):
                return "silenced"
            await asyncio.sleep(POLL_S)
        raise Failed(f"nobody was told of {name} within {TOLD_WITHIN_S:g} s")

    async def _held(self, scenario: Scenario, name: str, *, within_s: float) -> Alert:
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            found = _matching(await self.scene.watch.alerts(), scenario, name)
            if found:
                return found[0]
            await asyncio.sleep(POLL_S)
        raise Failed(f"{name} did not fire within {within_s:g} s")

    async def _ends(self, scenario: Scenario, row: Row, mended_s: float) -> None:
        if row.alert == WATCHDOG:
            return
        while _matching(await self.scene.watch.alerts(), scenario, row.alert):
            if time.monotonic() - mended_s > ENDS_WITHIN_S:
                raise Failed(f"{row.alert} did not end within {ENDS_WITHIN_S:g} s after its page was done")
            await asyncio.sleep(POLL_S)
        row.clear_s = time.monotonic() - mended_s
        self.say(f"    {row.alert} ended after {row.clear_s:.0f} s")

    async def _labels(self, scenario: Scenario) -> dict[str, str]:
        """What a person reads off the alert: `export JOB=…`."""
        found = await self.scene.watch.alerts()
        return {
            label.upper(): value
            for name in scenario.alerts
            for alert in _matching(found, scenario, name)[:1]
            for label, value in alert.labels.items()
        }

    async def _paste(self, page: Page, blocks: Sequence[str], variables: Mapping[str, str], row: Row) -> None:
        for block in blocks:
            async with self._shells:
                ran = await run_block(block, environment={**self._shell(), **variables})
            row.commands += count_commands(block)
            if not ran.succeeded:
                raise Failed(f"{page.alert}.md: a step failed\n{_shown(ran)}")

    def _shell(self) -> dict[str, str]:
        """What docs/runbook.md tells a person to set once."""
        installation, watch = self.scene.installation, self.scene.watch
        control = f"{sys.executable} -m drill.control {self.socket}"
        environment = installation.environment()
        return {
            **environment,
            "POSTROOM": installation.url,
            "TOKEN": installation.token,
            "METRICS_TOKEN": environment["POSTROOM_METRICS_TOKEN"],
            "PROMETHEUS": watch.prometheus_url,
            "PROMETHEUS_CONFIG": str(watch.configuration),
            "ALERTMANAGER": watch.alertmanager_url,
            "API_ENV_FILE": str(installation.environment_file),
            "RUNNER_ENV_FILE": str(installation.environment_file),
            "START_DATABASE": f"{control} start-database",
            "RESTART_API": f"{control} restart-api",
            "RESTART_RUNNER": f"{control} restart-runner",
        }


def _matching(alerts: Iterable[Alert], scenario: Scenario, name: str) -> list[Alert]:
    wanted = scenario.labels.get(name, {})
    return [alert for alert in alerts if alert.name == name and wanted.items() <= alert.labels.items()]


def _shown(ran: Ran) -> str:
    output = "\n".join(ran.output.splitlines()[-TAIL_LINES:])
    return f"$ {ran.block}\nexit code {ran.exit_code}\n{output}"
