"""A short run with a fixed seed and one with a fresh one. A failure prints the seed to repeat it with."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from chaos.tasks import TASKS
from postroom.base.encryption_keys import SETTING
from postroom.encryption.keyring import new_key
from tests.conftest import SUMMARY
from tests.processes.commands import ROOT, all_gone
from tests.processes.local_postgres import wait_until

LENGTH_S = 30
RUN_WITHIN_S = 420
STARTED_S = 120
FIXED_SEED = 20_260_101


def command(seed: int, seconds: float) -> list[str]:
    return [sys.executable, "-m", "chaos", "--seed", str(seed), "--seconds", str(seconds)]


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", ""), "HOME": str(tmp_path), "TMPDIR": str(tmp_path), **more}


@pytest.mark.timeout(RUN_WITHIN_S + 60)
@pytest.mark.parametrize("seed", [FIXED_SEED, None], ids=["fixed", "fresh"])
def test_nothing_is_lost_and_nothing_is_made_up(
    seed: int | None, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """With the fresh seed payloads are encrypted, with the fixed one they lie open."""
    chosen = secrets.randbelow(1_000_000) if seed is None else seed
    keys = {SETTING: new_key("chaos")} if seed is None else {}
    done = subprocess.run(
        command(chosen, LENGTH_S), cwd=ROOT, env=environment(tmp_path, **keys), capture_output=True,
        text=True, timeout=RUN_WITHIN_S, check=False,
    )  # fmt: skip
    print(done.stdout[-6_000:])
    assert done.returncode == 0, (
        f"repeat with: make chaos SEED={chosen} SECONDS={LENGTH_S}"
        f"{f' and {SETTING} set' if keys else ''}\n{done.stderr[-3_000:]}"
    )
    record_property(SUMMARY, done.stdout.splitlines()[-1])
    result = json.loads(done.stdout.splitlines()[-1])
    assert [result[name] for name in ("lost", "phantoms", "ledger_drift", "dead_unexplained")] == [0, 0, 0, 0]
    assert result["published"] == result["delivered"] > 100
    assert set(result["tasks"]) == set(TASKS)
    assert min(result["tasks"].values()) > 0
    assert result["ticks_expected"] == result["ticks_seen"]
    assert sum(result["faults"].values()) > 5
    assert result["seed"] == chosen
    assert all_gone(tmp_path)


@pytest.mark.timeout(STARTED_S + 120)
def test_when_it_is_interrupted_nothing_stays_behind(tmp_path: Path) -> None:
    log = tmp_path / "output"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command(1, 600), cwd=ROOT, env=environment(tmp_path), stdout=output, stderr=output
        )
    try:
        assert wait_until(lambda: "processes and the database run" in log.read_text(), limit_s=STARTED_S)
        process.send_signal(signal.SIGINT)
        assert process.wait(90) != 0
    finally:
        process.kill()
        process.wait()
    assert all_gone(tmp_path)
