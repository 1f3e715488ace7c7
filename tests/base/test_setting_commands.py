"""Secrets from commands: of `…_COMMAND`, how they are run, and what is told of one that fails."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from postroom.base import setting_commands
from postroom.base.errors import SettingsInvalid
from postroom.base.setting_files import BYTES_MAX, SHARE_MAX, SettingFiles, read_files, watch_files
from postroom.base.settings import load_settings
from postroom.health.setting_names import unknown_names

TOKEN = "a-metrics-token-of-24-ch"
NAME = "POSTROOM_METRICS_TOKEN_COMMAND"
SETTING = NAME.removesuffix("_COMMAND")
LIMIT_S = 60.0


def python(program: str) -> str:
    return shlex.join([sys.executable, "-c", program])


def value_of(program: str) -> str | None:
    return read_files({**os.environ, NAME: python(program)}).texts.get(SETTING)


def fault_of(line: str) -> str:
    texts, [fault] = read_files({**os.environ, NAME: line})
    assert texts == {}
    return fault


def test_a_setting_is_what_its_command_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, f"echo  '{TOKEN}'")
    token = load_settings().metrics_token
    assert token is not None
    assert token.get_secret_value() == TOKEN
    assert unknown_names(os.environ) == {}


def test_no_shell_reads_the_line() -> None:
    line = "echo '$HOME' ; `id` > /dev/null"
    assert read_files({NAME: line, "PATH": os.environ["PATH"]}).texts == {SETTING: "$HOME ; `id` > /dev/null"}


def test_it_has_our_environment_without_our_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_ADDR", "https://vault.example.com")
    monkeypatch.setenv("POSTROOM_STRIPE__API_KEY", "rk_test_hunter2")
    names = (value_of("import os; print(*os.environ)") or "").split()
    assert "VAULT_ADDR" in names
    assert [name for name in names if name.startswith("POSTROOM_")] == []


def test_two_places_of_one_value_are_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text("hunter2")
    monkeypatch.setenv(NAME, "echo hunter2")
    monkeypatch.setenv(f"{SETTING}_FILE", str(tmp_path / "token"))
    with pytest.raises(SettingsInvalid, match=f"{SETTING}_FILE: set, and {NAME} is set, too") as refused:
        load_settings()
    assert "hunter2" not in str(refused.value)
    monkeypatch.setenv(SETTING, "hunter2")
    monkeypatch.delenv(f"{SETTING}_FILE")
    with pytest.raises(SettingsInvalid, match=f"{SETTING}: set, and {NAME} is set, too"):
        load_settings()


def test_it_goes_before_a_credential(tmp_path: Path) -> None:
    (tmp_path / SETTING).write_text("of systemd")
    environment = {"PATH": os.environ["PATH"], "CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert read_files(environment).texts == {SETTING: "of systemd"}
    assert read_files({**environment, NAME: f"echo {TOKEN}"}) == ({SETTING: TOKEN}, ())


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            python("import sys; print('hunter2'); print('hunter2', file=sys.stderr); sys.exit(3)"),
            "ended with exit code 3",
        ),
        (
            python("import os; print('hunter2', flush=True); os.kill(os.getpid(), 9)"),
            "ended with exit code -9",
        ),
        ("true", "printed nothing"),
        ("/nowhere/hunter2", "cannot be started: No such file or directory"),
        ("echo 'hunter2", "is no command line"),
        ("", "is no command line"),
        (python(f"print('hunter2' * {BYTES_MAX})"), "longer than 64 KiB"),
        (python("import os; os.write(1, b'hunter2' + bytes([255]))"), "no text"),
        ("cat /dev/zero", "longer than 64 KiB"),
    ],
)
def test_a_fault_names_setting_and_reason_and_never_what_was_printed(
    line: str, told: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert fault_of(line) == f"{NAME}: {told}"
    assert "hunter2" not in str(capfd.readouterr())


def test_it_is_ended_with_all_that_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setting_commands, "COMMAND_S", 2.0)
    line = shlex.join(["sh", "-c", 'sleep 600 & echo $! > "$0"', str(tmp_path / "pid")])
    assert fault_of(line) == f"{NAME}: did not end within 2 s"
    stopped_s = time.monotonic() + LIMIT_S
    while alive(int((tmp_path / "pid").read_text())):
        assert time.monotonic() < stopped_s
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def test_slow_ones_run_side_by_side(tmp_path: Path) -> None:
    """Each waits until all of them have begun."""
    names = [f"POSTROOM_EXPORTS__OPTIONS__{number}" for number in range(12)]
    wait = f"import os, time, sys; p = {str(tmp_path)!r}; open(f'{{p}}/{{sys.argv[1]}}', 'w')\n"
    wait += f"while len(os.listdir(p)) < {len(names)}: time.sleep(0.02)\nprint('begun')"
    found = read_files({f"{name}_COMMAND": f"{python(wait)} {name}" for name in names})
    assert found == (dict.fromkeys(names, "begun"), ())


async def test_a_slow_one_holds_up_nothing_and_is_run_less_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends when the event loop, which goes on, tells it to; having taken 0.2 s, it rests for 4."""
    runs, go = tmp_path / "runs", tmp_path / "go"
    program = f"import os, time; open({str(runs)!r}, 'a').write(f'{{time.monotonic()}} '); time.sleep(0.2)\n"
    program += f"while not os.path.exists({str(go)!r}): time.sleep(0.02)\nprint({TOKEN!r})"
    monkeypatch.setenv(NAME, python(program))
    seen = list[SettingFiles]()

    async def note(found: SettingFiles) -> None:
        seen.append(found)

    watching = asyncio.create_task(watch_files(SettingFiles({}, ()), note, every_s=0.01))
    await until(runs.exists)
    go.touch()
    await until(lambda: len(runs.read_text().split()) > 1)
    watching.cancel()
    first, second, *_ = map(float, runs.read_text().split())
    assert second - first > 0.2 / SHARE_MAX
    assert seen == [({SETTING: TOKEN}, ())]


async def test_a_change_that_fails_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, python(f"print({TOKEN!r})"))
    seen = list[SettingFiles]()

    async def fail_first(found: SettingFiles) -> None:
        seen.append(found)
        if len(seen) == 1:
            raise RuntimeError("of a library")

    with capture_logs() as logs:
        watching = asyncio.create_task(watch_files(SettingFiles({}, ()), fail_first, every_s=0.01))
        await until(lambda: len(seen) > 1)
        watching.cancel()
    assert [each["event"] for each in logs] == ["settings.reload_failed"]
    assert seen == [({SETTING: TOKEN}, ())] * 2


async def test_a_change_that_failed_and_is_taken_back_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A half of it may be in use."""
    file = tmp_path / "token"
    file.write_text("new")
    monkeypatch.setenv(f"{SETTING}_FILE", str(file))
    known, seen = SettingFiles({SETTING: "old"}, ()), list[SettingFiles]()

    async def fail_at_new(found: SettingFiles) -> None:
        seen.append(found)
        if found != known:
            file.write_text("old")
            raise RuntimeError("of a library")

    with capture_logs():
        watching = asyncio.create_task(watch_files(known, fail_at_new, every_s=0.01))
        await until(lambda: known in seen)
        watching.cancel()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not condition():
            await asyncio.sleep(0.02)
