"""The local PostgreSQL, with real processes: it starts anywhere, and never outlives who started it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import asyncpg
import psycopg
import pytest

from postroom.postgres import binaries as binaries_module
from postroom.postgres.binaries import Binaries, Flavour, find_binaries
from postroom.postgres.errors import (
    AlreadyRunning,
    BinariesNotFound,
    DataVersionMismatch,
    PostgresError,
    StartFailed,
    UnsupportedVersion,
)
from postroom.postgres.resolve import resolve
from postroom.postgres.server import LocalPostgres
from postroom.postgres.state import Home, RunningPostgres, running
from tests.processes.local_postgres import (
    GONE_S,
    ORDINARY,
    PARENT,
    environment,
    fake_binaries,
    fetch,
    parent_of,
    refuses_connections,
    script,
    wait_until,
    write,
)

NOBODY = 65534
CLEAN = "database system is shut down"
RECOVERY = ("was interrupted", "not properly shut down", "redo starts")


@pytest.fixture(params=["machine", "embedded"])
def flavour(request: pytest.FixtureRequest) -> Flavour:
    wanted: Flavour = request.param
    try:
        find_binaries(wanted)
    except PostgresError as missing:
        pytest.skip(str(missing))
    return wanted


@pytest.fixture
def any_binaries() -> Binaries:
    try:
        return find_binaries()[0]
    except PostgresError as missing:
        pytest.skip(str(missing))


@pytest.fixture
def open_dir() -> Iterator[Path]:
    """A folder every user of the machine can enter and write to; pytest's own is private."""
    folder = Path(tempfile.mkdtemp(prefix="postroom-test-"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def parent(tmp_path: Path, flavour: Flavour) -> Iterator[tuple[subprocess.Popen[str], RunningPostgres, Path]]:
    """Another process that has started a server, to be killed."""
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path), flavour],
        stdout=subprocess.PIPE, text=True, env=environment(), cwd=tmp_path,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        try:
            yield process, RunningPostgres(**said["state"]), tmp_path
        finally:
            os.kill(said["forked"], signal.SIGKILL)
            process.kill()


def test_first_start_makes_a_durable_database_and_the_next_start_keeps_its_data(
    tmp_path: Path, flavour: Flavour
) -> None:
    with LocalPostgres(tmp_path, flavour=flavour) as server:
        write(server.dsn, "create table kept as select 42 as answer")
        for setting in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums"):
            assert fetch(server.dsn, f"show {setting}") == "on"
        assert fetch(server.dsn, "show server_encoding") == "UTF8"
        assert fetch(server.dsn, "show password_encryption") == "scram-sha-256"
        first_pid = server.state.pid
        with psycopg.connect(server.dsn, autocommit=True) as connection:
            connection.execute("alter system set fsync = off")  # the next start must not believe it
        stopping = time.monotonic()
    assert time.monotonic() - stopping < GONE_S
    assert CLEAN in server.log_path.read_text()

    started = time.monotonic()
    with LocalPostgres(tmp_path, flavour=flavour) as server:
        assert time.monotonic() - started < 5
        assert fetch(server.dsn, "select answer from kept") == 42
        assert fetch(server.dsn, "show fsync") == "on"
        assert server.state.pid != first_pid
    assert not any(sign in server.log_path.read_text() for sign in RECOVERY)


async def test_the_dsn_works_from_other_drivers_by_tcp_and_socket_and_needs_the_password(
    tmp_path: Path,
) -> None:
    with LocalPostgres(tmp_path) as server:
        for dsn in (server.dsn, server.state.socket_dsn, server.dsn_for("postroom", socket=True)):
            connection = await asyncpg.connect(dsn, timeout=10)
            assert await connection.fetchval("select current_database()") == "postroom"
            await connection.close()
            assert fetch(dsn, "select current_user") == "postgres"
        password = Home(tmp_path).password_path.read_text()
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(server.dsn.replace(password, "wrong"), timeout=10)
        assert password not in server.state.where


async def test_a_database_is_copied_from_a_template_and_dropped_in_use(tmp_path: Path) -> None:
    with LocalPostgres(tmp_path) as server:
        template = await server.create_database("template_of_tests")
        write(template, "create table t as select 7 as seven")
        copy = await server.create_database("copy_1", template="template_of_tests")
        connection = await asyncpg.connect(copy, timeout=10)
        assert await connection.fetchval("select seven from t") == 7
        await server.drop_database("copy_1")
        await server.drop_database("copy_1")
        await connection.close(timeout=5)
        assert fetch(server.dsn, "select count(*) from pg_database where datname = 'copy_1'") == 0
        with pytest.raises(PostgresError, match="plain database name"):
            await server.create_database('x"; drop database postroom; --')


def test_a_second_start_is_refused_and_says_which_process_has_it(tmp_path: Path) -> None:
    with LocalPostgres(tmp_path) as server, pytest.raises(AlreadyRunning) as refused:
        LocalPostgres(tmp_path).start()
    assert refused.value.pid is not None
    assert f"pid {refused.value.pid}" in str(refused.value)
    assert "postgres@127.0.0.1:" in str(refused.value)
    assert Home(tmp_path).password_path.read_text() not in str(refused.value)
    assert "POSTROOM_STATE_DIR" in str(refused.value)
    with server:  # the refusal has not hurt the lock
        assert running(tmp_path) == server.state


def test_of_many_starts_at_once_one_wins(tmp_path: Path) -> None:
    servers = [LocalPostgres(tmp_path) for _ in range(4)]
    refused: list[AlreadyRunning] = []

    def start(server: LocalPostgres) -> None:
        try:
            server.start()
        except AlreadyRunning as error:
            refused.append(error)

    threads = [threading.Thread(target=start, args=(server,)) for server in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    state = running(tmp_path)
    for server in servers:
        server.stop()
    assert len(refused) == 3
    assert state is not None
    assert {error.pid for error in refused} == {state.pid}


def test_a_killed_parent_takes_the_server_along_cleanly(
    parent: tuple[subprocess.Popen[str], RunningPostgres, Path], flavour: Flavour
) -> None:
    process, state, state_dir = parent
    write(state.dsn, "create table survived as select 1 as one")
    assert running(state_dir) == state  # the thread that started it is long gone
    process.kill()
    process.wait(5)

    assert wait_until(lambda: not Home(state_dir).is_locked()), "the server outlived its parent"
    assert refuses_connections(state)
    assert running(state_dir) is None
    log_path = Home(state_dir).log_path
    assert CLEAN in log_path.read_text()
    with LocalPostgres(state_dir, flavour=flavour) as server:
        assert fetch(server.dsn, "select one from survived") == 1
        assert not any(sign in log_path.read_text() for sign in RECOVERY)


def test_a_start_right_after_the_parents_death_waits_for_the_old_server(
    parent: tuple[subprocess.Popen[str], RunningPostgres, Path], flavour: Flavour
) -> None:
    process, state, state_dir = parent
    process.kill()
    process.wait(5)
    with LocalPostgres(state_dir, flavour=flavour) as server:
        assert server.state.pid != state.pid
        assert fetch(server.dsn, "select 1") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_a_killed_launcher_takes_the_server_along_cleanly(tmp_path: Path, flavour: Flavour) -> None:
    with LocalPostgres(tmp_path, flavour=flavour) as server:
        os.kill(parent_of(server.state.pid), signal.SIGKILL)
        assert wait_until(lambda: not Home(tmp_path).is_locked()), "the server outlived its launcher"
        assert not (Home(tmp_path).data_dir / "postmaster.pid").exists(), "the lock was free before the end"
        assert running(tmp_path) is None
    assert CLEAN in server.log_path.read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_server_that_will_not_stop_is_ended_and_nothing_else_is(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        server = LocalPostgres(tmp_path, stop_s=0.5)
        with psycopg.connect(server.start().dsn) as connection:
            os.kill(connection.info.backend_pid, signal.SIGSTOP)  # fast shutdown waits for it for ever
            server.stop()
            assert not Home(tmp_path).is_locked()
        assert other.poll() is None
        other.kill()


def test_a_state_folder_with_a_long_path_works(tmp_path: Path) -> None:
    state_dir = tmp_path / ("deep-" * 20) / ("deeper-" * 10)
    with LocalPostgres(state_dir) as server:
        socket_dir = Path(server.state.socket_dir)
        assert len(os.fsencode(socket_dir / f".s.PGSQL.{server.state.port}")) <= 103
        assert stat.S_IMODE(socket_dir.stat().st_mode) == 0o700
        assert fetch(server.state.socket_dsn, "select 1") == 1
        assert fetch(server.dsn, "select 1") == 1
    assert not socket_dir.exists()


@pytest.mark.parametrize("identity", ["auto", "nobody"])
def test_no_folder_above_ours_changes_mode_or_owner(open_dir: Path, identity: str) -> None:
    if identity != "auto" and os.geteuid() != 0:
        pytest.skip("only root can become another OS user")
    state_dir = open_dir / "outer" / "state"
    state_dir.mkdir(parents=True)
    (open_dir / "outer").chmod(0o711)
    state_dir.chmod(0o751)
    above = [state_dir, *state_dir.parents]

    def looks() -> list[tuple[int, int, int]]:
        return [(found.st_mode, found.st_uid, found.st_gid) for found in (path.stat() for path in above)]

    before = looks()
    with LocalPostgres(state_dir, identity=identity) as server:
        assert fetch(server.dsn, "select 1") == 1
        assert looks() == before
        home = Home(state_dir)
        assert stat.S_IMODE(home.path.stat().st_mode) == 0o700
        for secret in (home.password_path, home.state_path):
            assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert looks() == before


def test_data_of_another_version_is_refused_and_auto_picks_the_one_that_fits(tmp_path: Path) -> None:
    found = find_binaries()
    newest_last = sorted({binaries.major: binaries for binaries in found}.items())
    if len(newest_last) < 2:
        pytest.skip(f"needs two major versions of PostgreSQL, found only {found[0]}")
    (_, old), (new_major, new) = newest_last[0], newest_last[-1]
    made_by, other = (new, old) if found[0].major != new_major else (old, new)
    with LocalPostgres(tmp_path, binaries=made_by):
        pass
    with pytest.raises(DataVersionMismatch) as refused:
        LocalPostgres(tmp_path, binaries=other).start()
    assert f"PostgreSQL {made_by.major}" in str(refused.value)
    assert f"PostgreSQL {other.version}" in str(refused.value)
    assert "POSTROOM_STATE_DIR" in str(refused.value)
    with LocalPostgres(tmp_path) as server:
        assert int(server.state.version.split(".")[0]) == made_by.major


def test_an_ordinary_user_can_run_it(open_dir: Path, flavour: Flavour) -> None:
    if os.geteuid() != 0:
        pytest.skip("every other test runs as an ordinary user already")
    packages = Path(asyncpg.__file__).parents[1]
    env = environment(str(packages))

    def run_as_nobody(python: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [python, *arguments], user=NOBODY, group=NOBODY, extra_groups=[], env=env, cwd=open_dir,
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def reachable(python: str) -> bool:
        try:
            return run_as_nobody(python, "-c", "import asyncpg, postroom.postgres.server").returncode == 0
        except PermissionError:
            return False

    same_python = shutil.which(f"python3.{sys.version_info.minor}", path="/usr/local/bin:/usr/bin")
    python = next((one for one in (sys.executable, same_python) if one and reachable(one)), None)
    if python is None:
        pytest.skip(f"user {NOBODY} can reach neither {sys.executable} nor another Python with {packages}")
    state_dir = open_dir / "state"
    done = run_as_nobody(python, "-c", ORDINARY, str(state_dir), flavour)
    assert done.returncode == 0, done.stderr
    # The same user namespace: an ordinary user must not need what many machines forbid.
    assert json.loads(done.stdout) == {"answer": "postgres postroom", "owner": NOBODY, "namespaces": 1}
    assert (state_dir / "postgres" / "data").stat().st_uid == NOBODY


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another OS user")
def test_root_without_user_namespaces_runs_it_as_an_os_user(open_dir: Path, flavour: Flavour) -> None:
    with LocalPostgres(open_dir, flavour=flavour, identity="nobody") as server:
        assert fetch(server.dsn, "select 1") == 1
        assert Path(f"/proc/{server.state.pid}").stat().st_uid == NOBODY
    (open_dir / "shut").mkdir(mode=0o700)
    with pytest.raises(StartFailed, match=r"'nobody', which cannot reach .*/shut/.*POSTROOM_STATE_DIR"):
        LocalPostgres(open_dir / "shut" / "state", flavour=flavour, identity="nobody").start()


def test_an_interrupted_initdb_is_done_again(tmp_path: Path, any_binaries: Binaries) -> None:
    state_dir = tmp_path / "state"
    half = fake_binaries(
        tmp_path / "half", any_binaries,
        initdb='for last; do :; done; mkdir "${last#--pgdata=}"; echo 15 > "${last#--pgdata=}/PG_VERSION"; '
        "exec sleep 60",
    )  # fmt: skip
    with pytest.raises(StartFailed, match="took longer than 1 s"):
        LocalPostgres(state_dir, binaries=half, start_s=1).start()
    assert list((state_dir / "postgres").glob("initdb-*/data/PG_VERSION")), "the test did not interrupt it"
    assert not Home(state_dir).is_locked(), "the half initdb still runs"
    with LocalPostgres(state_dir, binaries=any_binaries) as server:
        assert fetch(server.dsn, "select 1") == 1
    assert not list((state_dir / "postgres").glob("initdb-*"))


def test_a_failed_initdb_shows_the_end_of_the_log(tmp_path: Path, any_binaries: Binaries) -> None:
    full = fake_binaries(
        tmp_path / "full", any_binaries, initdb="echo 'could not write: No space left on device' >&2; exit 1"
    )
    with pytest.raises(StartFailed, match="No space left on device") as failed:
        LocalPostgres(tmp_path / "state", binaries=full).start()
    assert str(failed.value.log_path) in str(failed.value)
    assert running(tmp_path / "state") is None


def test_a_taken_port_is_named_with_the_log(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(StartFailed, match="Address already in use") as failed:
            LocalPostgres(tmp_path, port=port).start()
    assert str(tmp_path / "postgres" / "server.log") in str(failed.value)
    with LocalPostgres(tmp_path, port=port) as server:
        assert server.state.port == port


def test_the_port_stays_what_it_was_while_nobody_else_has_it(tmp_path: Path) -> None:
    ports = []
    for _ in range(2):
        with LocalPostgres(tmp_path) as server, psycopg.connect(server.dsn):  # a session that it cuts off
            ports.append(server.state.port)
    assert ports[0] == ports[1]
    with socket.create_server(("127.0.0.1", ports[0])), LocalPostgres(tmp_path) as server:
        ports.append(server.state.port)
        assert fetch(server.dsn, "select 1") == 1
    assert ports[2] != ports[0]


@pytest.mark.parametrize("name", ["fsync", "synchronous_commit", "full_page_writes"])
def test_durability_cannot_be_switched_off(tmp_path: Path, name: str) -> None:
    with pytest.raises(PostgresError, match=f"{name} stays 'on'"):
        LocalPostgres(tmp_path, settings={name: "off"})


def test_settings_of_a_benchmark_are_used(tmp_path: Path) -> None:
    with LocalPostgres(tmp_path, settings={"shared_buffers": "160MB"}) as server:
        assert fetch(server.dsn, "show shared_buffers") == "160MB"
        assert fetch(server.dsn, "show max_connections") == "200"


def test_a_state_file_left_behind_does_not_count_as_running(tmp_path: Path) -> None:
    assert running(tmp_path) is None
    with LocalPostgres(tmp_path) as server:
        state = server.state
        assert running(tmp_path) == state
    assert running(tmp_path) is None
    home = Home(tmp_path)
    home.write(replace(state, pid=os.getpid()))
    assert running(tmp_path) is None, "a pid that now belongs to another program was believed"
    with LocalPostgres(tmp_path) as server:
        assert running(tmp_path) == server.state


def test_resolve_prefers_the_given_url_then_the_running_server_then_a_new_one(tmp_path: Path) -> None:
    given = "postgresql://user@db.example/app"
    with resolve(database_url=given, state_dir=tmp_path / "unused") as found:
        assert (found.dsn, found.origin) == (given, "given")
    assert not (tmp_path / "unused").exists()

    with resolve(database_url=None, state_dir=tmp_path) as started:
        assert started.origin == "started"
        assert fetch(started.dsn, "select 1") == 1
        with resolve(database_url=given, state_dir=tmp_path) as found:
            assert found.dsn == given
        with resolve(database_url=None, state_dir=tmp_path) as second:
            assert (second.dsn, second.origin) == (started.dsn, "running")
        assert running(tmp_path) is not None, "it stopped a server it had not started"
    assert running(tmp_path) is None


def test_binaries_too_old_or_broken_are_refused_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binaries_module, "MACHINE_PATTERNS", ())
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    script(tmp_path / "pg_config", f"echo {tmp_path}")
    script(tmp_path / "initdb", "exit 0")
    script(tmp_path / "postgres", "echo 'postgres (PostgreSQL) 13.9'")
    with pytest.raises(UnsupportedVersion, match=r"14 or newer is needed; found only PostgreSQL 13\.9"):
        find_binaries("machine")
    script(tmp_path / "postgres", "echo 'libssl.so.3: cannot open shared object file' >&2; exit 127")
    with pytest.raises(BinariesNotFound, match=r"libssl\.so\.3"):
        find_binaries("machine")


def test_one_of_several_versions_can_be_chosen() -> None:
    found = find_binaries()
    assert all(binaries.major >= 14 for binaries in found)
    for binaries in found:
        assert find_binaries(binaries.flavour, major=binaries.major)[0] == binaries
        assert find_binaries("embedded", prefer=binaries.bin_dir)[0].bin_dir == binaries.bin_dir
    with pytest.raises(BinariesNotFound, match="not the major version 99"):
        find_binaries(major=99)
