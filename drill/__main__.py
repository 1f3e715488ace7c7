"""`python -m drill [--full | --only NAME]`: exit code 0 when every alert was drilled, 1 when one failed."""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, ExitStack, suppress
from pathlib import Path
from typing import Final

from drill import control
from drill.faults import SCENARIOS
from drill.faults_of_delivery import cannot_mount, mount_exports
from drill.installation import METRICS_TOKEN, open_installation
from drill.programs import Missing, need
from drill.rehearsal import Failed, Rehearsal, Row
from drill.report import table
from drill.scaling import FACTOR
from drill.scenario import Scenario, Scene
from drill.traffic import Traffic
from drill.watch import PACKAGES, open_watch

MOUNTS: Final = "POSTROOM_DRILL_MOUNTS"
RESTART: Final = {
    "api": ("PostroomDown", "WebhookAcceptanceBudgetBurn"),
    "runner": ("JobsRunnerSilent", "DeliveriesLate", "JobStale", "ScheduleStale", "StripeEffectsBudgetBurn"),
}
"""What a restart looks like to rules whose minutes are seconds."""
WRONG_USE: Final = 2


def main() -> int:
    options = _parse()
    chosen = _choose(options)
    if not chosen:
        names = [*(s.name for s in SCENARIOS), *sorted({name for s in SCENARIOS for name in s.alerts})]
        print(f"Nothing is called {' or '.join(options.only)}. Known: {', '.join(names)}", file=sys.stderr)
        return WRONG_USE
    try:
        need(PACKAGES)
    except Missing as missing:
        print(missing, file=sys.stderr)
        return WRONG_USE
    _enter_own_mounts()
    folder = Path(tempfile.mkdtemp(prefix="postroom-drill-"))
    (folder / "watch").mkdir()
    (folder / "exports").mkdir()
    failed = True
    try:
        failed = asyncio.run(_drill(chosen, folder, options.report))
    finally:
        if failed:
            print(f"Logs and configuration are kept in {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return int(failed)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m drill", description="Drill the alerts.")
    parser.add_argument("--full", action="store_true", help="every alert, not the quick selection")
    parser.add_argument(
        "--only",
        metavar="NAME",
        action="append",
        help="a scenario, or the one of this alert; may be repeated",
    )
    parser.add_argument("--report", type=Path, help="write the table here, too")
    return parser.parse_args()


def _choose(options: argparse.Namespace) -> list[Scenario]:
    if options.only:
        return [s for s in SCENARIOS if not {s.name, *s.alerts}.isdisjoint(options.only)]
    return [s for s in SCENARIOS if options.full or s.quick]


def _enter_own_mounts() -> None:
    """Start anew with a view of mounts of our own, so that the disk we fill is gone when we are."""
    if MOUNTS in os.environ or os.geteuid() != 0:
        return
    with suppress(OSError):
        if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode == 0:
            os.environ[MOUNTS] = "1"
            arguments = [sys.executable, "-m", "drill", *sys.argv[1:]]
            os.execvp("unshare", ["unshare", "--mount", *arguments])  # noqa: S606


async def _drill(chosen: Sequence[Scenario], folder: Path, report: Path | None) -> bool:
    """Returns: whether anything failed."""
    started_s = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - started_s:5.0f} s {text}", flush=True)

    say(f"time runs {1 / FACTOR:.0f} times faster: 5 min take {300 * FACTOR:.0f} s")
    async with AsyncExitStack() as stack:
        if cannot_mount() is None:
            mount_exports(str(folder / "exports"))
        installation = await stack.enter_async_context(open_installation(folder))
        target = installation.url.removeprefix("http://")
        watch = await stack.enter_async_context(
            open_watch(folder / "watch", target=target, token=METRICS_TOKEN, factor=FACTOR)
        )
        traffic = Traffic(installation)
        scene = Scene(installation, watch, traffic, stack.enter_context(ExitStack()))
        rehearsal = Rehearsal(scene, say, folder / "control")
        await stack.enter_async_context(control.listening(folder / "control", _actions(rehearsal)))
        background = [asyncio.create_task(traffic.run())]
        try:
            rows, failures = await _rehearse_all(rehearsal, chosen, background)
        finally:
            died = await end_background(background)
        failures += died
    say("over")
    print(f"\n{table(rows)}\n")
    if report is not None:
        await asyncio.to_thread(report.write_text, table(rows) + "\n")
    failures += [f"{row.alert}: {row.failure}" for row in rows if row.failure]
    for failure in failures:
        print(f"FAILED {failure}")
    return bool(failures)


async def end_background(background: Sequence[asyncio.Task[None]]) -> list[str]:
    """Returns: who did not last until now. Without them a drill proves less than it says."""
    for task in background:
        task.cancel()
    ended = await asyncio.gather(*background, return_exceptions=True)
    return [f"something in the background died: {error!r}" for error in ended if isinstance(error, Exception)]


def _actions(rehearsal: Rehearsal) -> control.Actions:
    """What the pages ask of `systemctl`. A start takes its seconds however fast the rules' clock runs."""
    installation = rehearsal.scene.installation

    async def restart_api() -> None:
        with rehearsal.explaining(RESTART["api"]):
            await installation.restart("api")
            await installation.wait_alive()

    async def restart_runner() -> None:
        with rehearsal.explaining(RESTART["runner"]):
            await installation.restart("runner")

    return {
        "start-database": installation.start_database,
        "restart-api": restart_api,
        "restart-runner": restart_runner,
    }


async def _rehearse_all(
    rehearsal: Rehearsal, chosen: Sequence[Scenario], background: list[asyncio.Task[None]]
) -> tuple[list[Row], list[str]]:
    """One after the other what needs the stage for itself, then the rest side by side."""
    rows: list[Row] = []
    failures: list[str] = []
    groups = [[s] for s in chosen if s.alone]
    groups.append([s for s in chosen if not s.alone])
    try:
        await rehearsal.wait_quiet()
        rehearsal.say("all is quiet: it begins")
        background.append(asyncio.create_task(rehearsal.watch_for_unrelated()))
        for group in groups:
            for found in await asyncio.gather(*(rehearsal.run(scenario) for scenario in group)):
                rows += found
            await rehearsal.wait_quiet()
            failures += await _check_ledger(rehearsal, group)
    except Failed as failed:
        failures.append(str(failed))
    failures += [f"nobody's fault explains the page {name}" for name in sorted(rehearsal.unrelated)]
    return rows, failures


async def _check_ledger(rehearsal: Rehearsal, group: Sequence[Scenario]) -> list[str]:
    balance = await rehearsal.balance()
    rehearsal.say(
        f"  the ledger: {balance.published} published = {balance.delivered} delivered"
        f" + {balance.open} waiting + {balance.dead} dead + {balance.cancelled} cancelled"
    )
    if not balance.drift:
        return []
    return [f"the ledger drifts by {balance.drift} after {', '.join(s.name for s in group)}"]


if __name__ == "__main__":
    sys.exit(main())
