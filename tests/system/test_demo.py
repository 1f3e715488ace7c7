"""Everything in one terminal: it shows the whole chain, it is one of its kind, it leaves nothing behind."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes.commands import Running, all_gone, processes_of, read_environment, run, running_command
from tests.processes.local_postgres import wait_until

READY_S = 60.0
GONE_S = 40.0


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Running]:
    """`postroom up` on a state folder of its own, ready."""
    settings = {"POSTROOM_STATE_DIR": str(tmp_path / "state")}
    with running_command(
        ["up"], home=tmp_path, settings=settings, ready="postroom doctor", limit_s=READY_S
    ) as up:
        yield up


def url_of(up: Running) -> str:
    found = re.search(r"probes +(http://\S+)/healthz", up.output)
    assert found is not None, up.output
    return found[1]


def pid_of(up: Running, name: str) -> int:
    found = re.search(rf"{name} +pid (\d+)", up.output)
    assert found is not None, up.output
    return int(found[1])


def test_every_effect_of_the_demo_arrives_once_and_nothing_stays(tmp_path: Path) -> None:
    """Settings of the environment are left aside by name: these would send the mails nowhere."""
    settings = {
        "TMPDIR": str(tmp_path),
        "POSTROOM_EMAIL__URL": "smtp://127.0.0.1:1",
        "POSTROOM_DATABASE_URL": "postgresql://127.0.0.1:1/nowhere",
        "POSTROOM_ROUTES": "mine.toml",
    }
    done = run("postroom", "up", "--demo", "--once", home=tmp_path, settings=settings)

    assert done.code == 0, done.out + done.err
    named = "POSTROOM_DATABASE_URL, POSTROOM_EMAIL__URL, POSTROOM_ROUTES"
    assert f"Left aside, as --once proves the demo's own routes: {named}" in done.out
    assert "With yours: postroom up --demo, or postroom routes test --event FILE" in done.out
    assert "6 events, 16 effects, each arrived exactly once; the ledger fits" in done.out
    assert "known: nothing happens twice" in done.out
    assert done.out.count("delivered") == 16
    assert list(tmp_path.glob("postroom-demo-*")) == []
    assert all_gone(tmp_path)


def test_a_second_one_says_where_the_first_is_and_sigterm_ends_all(up: Running, tmp_path: Path) -> None:
    with urllib.request.urlopen(f"{url_of(up)}/readyz", timeout=10) as answer:
        assert json.load(answer)["status"] == "ok"
    second = run("postroom", "up", home=tmp_path, settings={"POSTROOM_STATE_DIR": str(tmp_path / "state")})

    assert second.code == 1
    assert f"pid {up.process.pid}" in second.err
    assert url_of(up) in second.err

    up.process.send_signal(signal.SIGTERM)
    assert up.process.wait(GONE_S) == 0, up.output
    assert all_gone(tmp_path)


def test_a_second_terminal_gets_its_settings_for_the_runbooks_commands(up: Running, tmp_path: Path) -> None:
    path = tmp_path / "state" / "environment"
    assert f". {path}" in up.output
    assert path.stat().st_mode & 0o777 == 0o600
    assert re.search(r"database +PostgreSQL .* postgresql://postgres@127\.0\.0\.1:\d+/postroom ", up.output)
    assert "select postroom.publish(…) in your own transaction" in up.output
    settings = read_environment(path)

    doctor = run("postroom", "doctor", home=tmp_path, settings=settings)
    assert doctor.code == 0, doctor.out
    assert "emails wait" not in doctor.out
    payload = '{"to": "ann@example.com", "subject": "Hello", "text": "from a second terminal"}'
    assert (
        run("postroom", "publish", "email", "--payload", payload, home=tmp_path, settings=settings).code == 0
    )
    drained = run("postroom", "work", "--job", "outbox-delivery", "--once", home=tmp_path, settings=settings)
    assert drained.code == 0, drained.err
    mails = tmp_path / "state" / "mail"
    assert wait_until(lambda: len(list(mails.glob("*.eml"))) == 1, limit_s=READY_S)

    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(GONE_S) == 0, up.output
    assert not path.exists()


def sourced(path: Path) -> str:
    """What a shell says that reads the file in."""
    return subprocess.run(
        ["/bin/sh", "-euc", f". {path}"], capture_output=True, text=True, check=True, timeout=10
    ).stderr


def test_kill_minus_nine_leaves_no_process_behind_and_nothing_that_misleads(
    up: Running, tmp_path: Path
) -> None:
    assert len(processes_of(tmp_path)) > 3
    settings = tmp_path / "state" / "environment"
    assert sourced(settings) == ""
    up.process.kill()
    up.process.wait(GONE_S)

    assert all_gone(tmp_path)
    assert f"(pid {up.process.pid}) runs no longer" in sourced(settings)
    doctor = run(
        "postroom", "doctor", home=tmp_path, settings={"POSTROOM_STATE_DIR": str(tmp_path / "state")}
    )
    assert "emails wait" in doctor.out
    assert str(settings) not in doctor.out


def test_it_ends_when_one_of_its_processes_does_and_shows_the_log(up: Running, tmp_path: Path) -> None:
    subprocess.run(["kill", "-9", str(pid_of(up, "runner"))], check=True)

    assert up.process.wait(GONE_S) == 1
    assert "The process runner ended with status -9" in up.output
    assert str(tmp_path / "state" / "logs" / "runner.log") in up.output
    assert all_gone(tmp_path)


def test_a_named_port_that_is_taken_is_refused_by_name(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        settings = {"POSTROOM_STATE_DIR": str(tmp_path / "state"), "POSTROOM_PORT": str(port)}
        done = run("postroom", "up", home=tmp_path, settings=settings)

    assert done.code == 1
    assert f"Port {port} is taken" in done.err
    assert all_gone(tmp_path)


def test_it_is_not_for_prod(tmp_path: Path) -> None:
    settings = {
        "POSTROOM_STATE_DIR": str(tmp_path),
        "POSTROOM_ENV": "prod",
        "POSTROOM_DATABASE_URL": "postgresql://127.0.0.1:1/nowhere",
        "POSTROOM_METRICS_TOKEN": "a-metrics-token-for-the-demo",
    }
    done = run("postroom", "up", home=tmp_path, settings=settings)

    assert done.code == 2
    assert "postroom serve" in done.err
