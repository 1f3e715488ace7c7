"""What systemd hears of a process of ours (sd_notify), whether it is alone or supervises others."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.processes.commands import Running

WITHIN_S = 60.0
WATCHDOG_S = 0.4


class Systemd:
    """Whoever has started a process and listens to it."""

    def __init__(self, folder: Path) -> None:
        self.heard: list[str] = []
        self.path = folder / "notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))

    def hears(self, line: str, *, within_s: float = WITHIN_S) -> bool:
        """Now or earlier. False after `within_s` in which nothing at all was said."""
        self._socket.settimeout(within_s)
        try:
            while line not in self.heard:
                self.heard += self._socket.recv(4_096).decode().splitlines()
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        self._socket.close()


Start = Callable[[str], Running]


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    systemd = Systemd(tmp_path)
    yield systemd
    systemd.close()


@pytest.fixture
def start(dsn: str, tmp_path: Path, systemd: Systemd) -> Iterator[Start]:
    started: list[Running] = []

    def start(words: str) -> Running:
        settings = {
            "POSTROOM_DATABASE_URL": dsn,
            "POSTROOM_STATE_DIR": str(tmp_path / "state"),
            "POSTROOM_PORT": "0",
            "NOTIFY_SOCKET": str(systemd.path),
            "WATCHDOG_USEC": str(round(WATCHDOG_S * 1e6)),
        }
        started.append(Running(words.split(), home=tmp_path, settings=settings))
        return started[-1]

    yield start
    for running in started:
        running.process.kill()
        running.process.wait(WITHIN_S)


@pytest.mark.parametrize(
    ("words", "status", "last"),
    [
        ("serve", "accepts connections", "answers what it has"),
        ("work --job canary", "1 jobs, worker 1", "finishing what is in flight"),
        ("work --job canary --processes 2", "2 of 2 runners ready", "stopping: 0 left"),
    ],
)
def test_it_is_ready_lives_and_stops(
    systemd: Systemd, start: Start, words: str, status: str, last: str
) -> None:
    running = start(words)
    for line in ("READY=1", "WATCHDOG=1", f"STATUS={status}"):
        assert systemd.hears(line), running.output
    running.process.send_signal(signal.SIGTERM)
    for line in ("STOPPING=1", f"STATUS={last}"):
        assert systemd.hears(line), running.output
    assert running.process.wait(WITHIN_S) == 0
    assert systemd.heard.count("READY=1") == 1, "of the children nobody hears but their supervisor"


def test_who_hangs_is_silent(systemd: Systemd, start: Start) -> None:
    running = start("work --job canary")
    assert systemd.hears("WATCHDOG=1")
    running.process.send_signal(signal.SIGSTOP)
    assert not systemd.hears("said nothing", within_s=3 * WATCHDOG_S)
