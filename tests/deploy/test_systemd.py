"""The units: systemd reads them without complaint, they are shut in, and what they start exists."""

from __future__ import annotations

import subprocess
import sys
from configparser import RawConfigParser
from pathlib import Path

import pytest

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


def test_the_units_share_one_user_one_folder_and_one_environment() -> None:
    for name in ("User", "StateDirectory", "CapabilityBoundingSet", "SystemCallFilter"):
        values = {tuple(lines_of(unit, name)) for unit in UNITS}
        assert len(values) == 1, name
    logins = {"api": "api", "migrate": "owner", "runner": "runner"}
    for unit in UNITS:  # the last file has the last word: the login of this unit
        own = f"/etc/postroom/database-{logins[unit.stem.removeprefix('postroom-')]}.env"
        assert lines_of(unit, "EnvironmentFile") == ["/etc/postroom/postroom.env", own]
    assert len(UNITS) == 3
    parser = RawConfigParser(strict=False, delimiters=("=",))
    example = (DEPLOY / "systemd" / "postroom.env.example").read_text()
    parser.read_string("[environment]\n" + example)
    assert (
        parser["environment"]["postroom_state_dir"] == "/var/lib/" + lines_of(UNITS[0], "StateDirectory")[0]
    )
