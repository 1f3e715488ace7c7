"""The units: systemd reads them without complaint, they are shut in, and what they start exists."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from postroom.base.secret_rules import RULES
from postroom.base.settings import load_settings
from postroom.cli.serve import STOP_WITHIN_S as SERVE_STOP_S
from postroom.cli.work import STOP_WITHIN_S as WORK_STOP_S
from postroom.worker.heartbeat import BLOCKED_MAX_S
from tests.deploy.files import DEPLOY, assert_command_exists

UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
EXPOSURE_MAX = "20"  # of 100: systemd calls it OK
needs_systemd = pytest.mark.needs("systemd-analyze")


def lines_of(unit: Path, name: str) -> list[str]:
    return [line.partition("=")[2] for line in unit.read_text().splitlines() if line.startswith(f"{name}=")]


@pytest.fixture
def installed(tmp_path: Path) -> list[str]:
    """The units as if /opt/postroom were this environment: systemd looks whether the programs exist."""
    programs = Path(sys.executable).parent
    for unit in UNITS:
        (tmp_path / unit.name).write_text(unit.read_text().replace("/opt/postroom/bin", str(programs)))
    return [str(tmp_path / unit.name) for unit in UNITS]


@needs_systemd
def test_systemd_reads_the_units_without_a_word(installed: list[str]) -> None:
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *installed], capture_output=True, text=True, check=False
    )
    ours = [line for line in done.stderr.splitlines() if "postroom" in line]
    assert (done.returncode, ours) == (0, [])


@needs_systemd
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_is_shut_in(unit: Path) -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE_MAX}", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_no_unit_takes_all_of_the_machine(unit: Path) -> None:
    assert lines_of(unit, "MemoryMax") == ["1G"]
    assert lines_of(unit, "LimitNOFILE") == ["65536"]
    assert int(lines_of(unit, "TasksMax")[0]) <= 256


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_what_a_unit_starts_exists(unit: Path) -> None:
    [command] = lines_of(unit, "ExecStart")
    assert_command_exists(command.split())


@pytest.mark.parametrize(("part", "stop_within_s"), [("api", 10 + SERVE_STOP_S), ("runner", WORK_STOP_S)])
def test_a_unit_says_when_it_is_ready_and_that_it_lives(part: str, stop_within_s: float) -> None:
    unit = DEPLOY / "systemd" / f"postroom-{part}.service"
    assert lines_of(unit, "Type") == ["notify"]
    assert lines_of(unit, "ExecReload") == ["/bin/kill -HUP $MAINPID"]
    # What is blocked for a minute lives; a sign of life is sent four times in that time.
    assert float(lines_of(unit, "WatchdogSec")[0]) * 3 / 4 > BLOCKED_MAX_S
    assert float(lines_of(unit, "TimeoutStopSec")[0]) > stop_within_s, "a supervisor kills who is late itself"


def test_each_unit_is_somebody_of_its_own() -> None:
    """Processes of one user read each other's environment in /proc."""
    users = {unit.stem: lines_of(unit, "User") for unit in UNITS}
    assert len({user for [user] in users.values()}) == len(UNITS) == 3
    for unit in UNITS:
        assert lines_of(unit, "StateDirectory") == users[unit.stem]
        [folder] = lines_of(unit, "WorkingDirectory")
        assert folder == f"/var/lib/{users[unit.stem][0]}"
        assert lines_of(unit, "Environment") == [f"POSTROOM_STATE_DIR={folder}"]
    for name in ("CapabilityBoundingSet", "SystemCallFilter", "ProtectProc"):
        assert len({tuple(lines_of(unit, name)) for unit in UNITS}) == 1, name


FILES: Final = {  # the last one has the last word: the login of this unit
    "api": ["postroom.env", "-both.env", "-api.env", "database-api.env"],
    "migrate": ["postroom.env", "database-owner.env"],
    "runner": ["postroom.env", "-both.env", "-runner.env", "database-runner.env"],
}
SECRETS: Final = {
    "api": {"POSTROOM_DATABASE_URL", "POSTROOM_METRICS_TOKEN", "POSTROOM_STRIPE__WEBHOOK_SECRETS"},
    "migrate": {"POSTROOM_DATABASE_URL"},
    "runner": {"POSTROOM_DATABASE_URL", "POSTROOM_STRIPE__API_KEY", "POSTROOM_EMAIL__URL"},
}
PREFIXES: Final = {"POSTROOM_STRIPE__WEBHOOK_SECRETS": "whsec_", "POSTROOM_STRIPE__API_KEY": "rk_live_"}


def given_to(part: str) -> dict[str, str]:
    """What systemd gives to a unit, with the files of our examples; nobody has filled them in."""
    given: dict[str, str] = {}
    for path in lines_of(DEPLOY / "systemd" / f"postroom-{part}.service", "EnvironmentFile"):
        name = Path(path).name.replace(".env", "")
        example = DEPLOY / "systemd" / f"{'database' if name.startswith('database-') else name}.env.example"
        if name != "both":
            given.update(re.findall(r"""^([A-Z_]+)=["']?(.*?)["']?$""", example.read_text(), re.MULTILINE))
    return given


@pytest.mark.parametrize("part", FILES)
def test_each_unit_gets_its_own_secrets_alone(part: str) -> None:
    files = lines_of(DEPLOY / "systemd" / f"postroom-{part}.service", "EnvironmentFile")
    assert [each.replace("/etc/postroom/", "") for each in files] == FILES[part]
    assert given_to(part).keys() & RULES.keys() == SECRETS[part]


@pytest.mark.parametrize("part", FILES)
def test_a_unit_starts_with_what_it_gets(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in given_to(part).items():
        filled = value.replace("CHANGE", PREFIXES.get(name, "") + "a" * 32)
        if name.startswith("POSTROOM_"):
            monkeypatch.setenv(name, filled)
    assert load_settings(serves=part == "api").prod
