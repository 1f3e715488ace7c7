"""The supervisor, with processes that do nothing but start, end and say how they are."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from postroom.cli.processes import process_count, usable_cores
from tests.processes.commands import environment, processes_of
from tests.processes.local_postgres import wait_until

WITHIN_S = 30.0


class Supervised:
    def __init__(self, folder: Path, pauses_s: str, hangs_s: str) -> None:
        self.folder = folder
        self._said = folder / "said"
        with self._said.open("wb") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.processes.supervised", str(folder), pauses_s, hangs_s],
                env=environment(folder, {}),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._said.read_text().splitlines() if line.startswith("{")]

    def says(self, event: str, **fields: object) -> bool:
        return any(line["event"] == event and fields.items() <= line.items() for line in self.lines)

    def waits_for(self, event: str, **fields: object) -> None:
        assert wait_until(lambda: self.says(event, **fields), limit_s=WITHIN_S), self._said.read_text()

    @property
    def starts(self) -> list[tuple[float, int]]:
        lines = (self.folder / "starts").read_text().splitlines()
        return [(float(at), int(pid)) for at, pid in map(str.split, lines)]

    def ends(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(WITHIN_S)


Supervise = Callable[..., Supervised]


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Supervise]:
    started: list[Supervised] = []

    def start(pauses_s: str = "0.01", hangs_s: str = "60") -> Supervised:
        started.append(Supervised(tmp_path, pauses_s, hangs_s))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.wait(WITHIN_S)


ALL_READY = {"state": "2 of 2 children ready"}


def test_all_get_the_signal_and_it_ends_with_0(supervise: Supervise, tmp_path: Path) -> None:
    supervised = supervise()
    supervised.waits_for("supervisor.state", **ALL_READY)
    assert supervised.ends() == 0
    assert processes_of(tmp_path) == []


def test_the_pauses_grow_up_to_the_last(supervise: Supervise, tmp_path: Path) -> None:
    (tmp_path / "exits").write_text("1")
    supervised = supervise("0.01,0.02,0.03")

    def pauses() -> list[float]:
        """Of both children, either of which may be ahead of the other."""
        return [line["again_in_s"] for line in supervised.lines if line["event"] == "supervisor.ended"]

    assert wait_until(lambda: pauses().count(0.02) == 2 and pauses().count(0.03) > 3, limit_s=WITHIN_S)
    assert sorted(set(pauses())) == [0.01, 0.02, 0.03]
    assert (pauses()[0], pauses().count(0.01)) == (0.01, 2)
    assert supervised.ends() == 0


def test_one_that_is_killed_comes_back_and_the_other_stays(supervise: Supervise) -> None:
    supervised = supervise()
    supervised.waits_for("supervisor.state", **ALL_READY)
    (_, first), (_, second) = supervised.starts
    os.kill(first, signal.SIGKILL)
    supervised.waits_for("supervisor.ended", exit_code=-signal.SIGKILL)
    assert wait_until(lambda: len(supervised.starts) == 3, limit_s=WITHIN_S)
    os.kill(second, 0)
    assert supervised.ends() == 0


def test_when_it_is_killed_all_are_gone(supervise: Supervise, tmp_path: Path) -> None:
    (tmp_path / "stubborn").touch()
    supervised = supervise()
    supervised.waits_for("supervisor.state", **ALL_READY)
    assert supervised.ends(signal.SIGKILL) == -signal.SIGKILL
    assert wait_until(lambda: processes_of(tmp_path) == [], limit_s=WITHIN_S)


def test_who_does_not_end_in_its_time_is_killed(supervise: Supervise, tmp_path: Path) -> None:
    (tmp_path / "stubborn").touch()
    supervised = supervise()
    supervised.waits_for("supervisor.state", **ALL_READY)
    assert supervised.ends() == 0
    assert supervised.says("supervisor.kills", why="no end")
    assert processes_of(tmp_path) == []


def test_who_hangs_is_killed_and_started_again(supervise: Supervise, tmp_path: Path) -> None:
    (tmp_path / "hangs").touch()
    supervised = supervise(hangs_s="4")
    supervised.waits_for("supervisor.kills", why="no word")
    (tmp_path / "hangs").unlink()
    assert wait_until(lambda: len(supervised.starts) >= 4, limit_s=WITHIN_S)
    assert supervised.ends() == 0


def test_what_refuses_its_settings_at_first_ends_all_of_it(supervise: Supervise, tmp_path: Path) -> None:
    (tmp_path / "exits").write_text("2")
    assert supervise("60").process.wait(WITHIN_S) == 2


def test_sighup_replaces_one_after_the_other(supervise: Supervise) -> None:
    supervised = supervise()
    supervised.waits_for("supervisor.state", **ALL_READY)
    old = {pid for _, pid in supervised.starts}
    supervised.process.send_signal(signal.SIGHUP)
    supervised.waits_for("supervisor.state", state="2 of 2 children ready; 1 of 2 replaced")
    assert wait_until(lambda: supervised.lines[-1].get("state") == ALL_READY["state"], limit_s=WITHIN_S)
    assert len(supervised.starts) == 4
    assert old.isdisjoint(processes_of(supervised.folder))
    assert not supervised.says("supervisor.ended"), "who leaves when asked has not failed"
    assert supervised.ends() == 0


def test_new_ones_that_do_not_start_leave_the_old_ones(supervise: Supervise, tmp_path: Path) -> None:
    supervised = supervise()
    supervised.waits_for("supervisor.state", **ALL_READY)
    (tmp_path / "exits").write_text("2")
    supervised.process.send_signal(signal.SIGHUP)
    supervised.waits_for("supervisor.not_replaced", replaced=0)
    for _, pid in supervised.starts[:2]:
        os.kill(pid, 0)
    (tmp_path / "exits").unlink()
    supervised.process.send_signal(signal.SIGHUP)
    supervised.waits_for("supervisor.state", state="2 of 2 children ready; 1 of 2 replaced")
    assert supervised.ends() == 0


def test_auto_is_what_the_control_groups_allow(tmp_path: Path) -> None:
    ours = tmp_path / "sys/fs/cgroup/system.slice/postroom.service"
    ours.mkdir(parents=True)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/system.slice/postroom.service\n")
    cores = len(os.sched_getaffinity(0))
    assert usable_cores(tmp_path) == cores
    (ours / "cpu.max").write_text("max 100000\n")
    assert usable_cores(tmp_path) == cores
    (ours.parent / "cpu.max").write_text("50000 100000\n")
    assert usable_cores(tmp_path) == 1
    assert process_count("auto") >= 1


@pytest.mark.parametrize("text", ["0", "-1", "257", "many", "", "1.5"])
def test_a_number_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        process_count(text)
