"""The real wheel in an environment of its own, used from the folder of an application with an `app/` too."""

from __future__ import annotations

import hashlib
import re
import shutil
import signal
import subprocess
import tarfile
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from postroom.base.version import VERSION
from tests.conftest import on_database, run_sql
from tests.processes.commands import ROOT
from tests.processes.installation import Installation, build
from tests.processes.local_postgres import wait_until

READY_S = 90.0
GONE_S = 30.0
HANDLERS = """
from app.models import DATASET
from postroom import Event, Transaction, on

@on("invoice.paid")
async def remember(event: Event, tx: Transaction) -> None:
    await tx.publish(channel="export", payload={"dataset": DATASET, "record": {"id": event.object_id}})
"""

PUBLISH = """
import asyncio, sys
import asyncpg, postroom

async def publish() -> None:
    conn = await asyncpg.connect(sys.argv[1])
    async with conn.transaction():
        await postroom.publish(conn, channel="email", payload={"to": "ada@example.com"}, key="welcome:1")
    await conn.close()

asyncio.run(publish())
print({"psycopg", "psycopg2", "sqlalchemy", "django"} & sys.modules.keys())
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return build(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def service(built: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Installation:
    return Installation.create(tmp_path_factory.mktemp("service") / "venv", built[0], "embedded")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """An application's folder."""
    folder = tmp_path / "project"
    (folder / "app").mkdir(parents=True)
    (folder / "app" / "__init__.py").touch()
    (folder / "app" / "models.py").write_text("DATASET = 'of-the-application'\n")
    (folder / "handlers.py").write_text(HANDLERS)
    return folder


@pytest.fixture
async def empty_database(server_dsn: str, tmp_path: Path) -> AsyncIterator[str]:
    name = f"empty_{tmp_path.name.replace('-', '_')[:40]}".lower()
    await run_sql(server_dsn, f'create database "{name}"')
    yield on_database(server_dsn, name)
    await run_sql(server_dsn, f'drop database "{name}" with (force)')


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_same_source_becomes_the_same_bytes(built: tuple[Path, Path], tmp_path: Path) -> None:
    """Built again elsewhere, with other times and rights of the files."""
    with tarfile.open(built[1]) as archive:
        archive.extractall(tmp_path)  # made a moment ago; Debian's Python 3.11 knows no filter
    [source] = tmp_path.iterdir()
    (source / "PKG-INFO").unlink()  # an archive has it, a checkout has not
    for path in source.rglob("*.py"):
        path.chmod(0o600)
    again = build(tmp_path / "again", source=source, umask=0o077)
    assert [digest(path) for path in again] == [digest(path) for path in built]


def test_the_wheel_holds_what_the_service_needs_and_no_app(built: tuple[Path, Path]) -> None:
    names = zipfile.ZipFile(built[0]).namelist()
    assert {name.partition("/")[0] for name in names} == {"postroom", f"postroom-{VERSION}.dist-info"}
    for folder, pattern, packed in (
        ("migrations", "**/*.*", "postroom/_migrations"),
        ("docs/runbooks", "*.md", "postroom/_runbooks"),
        ("postroom", "**/*.sql", "postroom"),
        ("postroom", "**/*.html", "postroom"),
    ):
        found = [path for path in (ROOT / folder).glob(pattern) if "__pycache__" not in path.parts]
        assert found
        assert {f"{packed}/{path.relative_to(ROOT / folder)}" for path in found} <= set(names)
    assert "postroom/py.typed" in names


def test_an_application_needs_two_packages_to_publish_and_to_write_handlers(
    built: tuple[Path, Path], project: Path, dsn: str
) -> None:
    light = Installation.create(project / ".venv", built[0])
    assert light.distributions() == {"postroom", "asyncpg", "msgspec"}
    done = light.run("python", "-c", "import handlers; print(handlers.remember.name)", folder=project)
    assert (done.code, done.out) == (0, "remember\n"), done.err

    published = light.run("python", "-c", PUBLISH, dsn, folder=project)
    assert (published.code, published.out) == (0, "set()\n"), published.err

    version = light.run("postroom", "--version", folder=project)
    assert (version.code, version.out) == (0, f"{VERSION}\n"), version.err
    for command in ("--help", "serve"):
        refused = light.run("postroom", command, folder=project)
        assert refused.code == 2
        assert "pip install 'postroom[server]'" in refused.err
        assert "Traceback" not in refused.err


async def test_a_database_is_migrated_served_and_worked_on(
    service: Installation, project: Path, empty_database: str
) -> None:
    settings = {
        "POSTROOM_DATABASE_URL": empty_database,
        "POSTROOM_STATE_DIR": str(project / "state"),
        "POSTROOM_HANDLERS": str(project / "handlers.py"),
        "POSTROOM_PORT": "0",
    }
    elsewhere = project.parent  # what lies beside the handlers file is found from anywhere
    migrated = service.run("postroom", "migrate", folder=project, settings=settings)
    assert migrated.code == 0, migrated.err
    worked = service.run("postroom", "work", "--job", "canary", "--once", folder=elsewhere, settings=settings)
    assert (worked.code, worked.out) == (0, "canary: done, 1 handled\n"), worked.err
    doctor = service.run("postroom", "doctor", folder=project, settings=settings)
    assert "Traceback" not in doctor.err
    assert "schema" in doctor.out

    output = project / "serve.log"
    serve = service.start("postroom", "serve", folder=elsewhere, settings=settings, output=output)
    try:
        assert wait_until(lambda: "http.listening" in output.read_text(), limit_s=READY_S), output.read_text()
    finally:
        serve.terminate()
        assert serve.wait(GONE_S) == 0, output.read_text()

    page = "from postroom.console.pages.runbooks import read; print(read('JobStale'))"
    shown = service.run("python", "-c", page, folder=project)
    assert shown.out.strip() == (ROOT / "docs/runbooks/JobStale.md").read_text().strip(), shown.err


def test_everything_comes_up_and_the_applications_handler_has_its_effect(
    service: Installation, project: Path
) -> None:
    output, state = project / "up.log", project / "state"
    settings = {"POSTROOM_STATE_DIR": "state", "POSTROOM_HANDLERS": "handlers.py"}
    up = service.start("postroom", "up", "--demo", folder=project, settings=settings, output=output)
    try:
        shown = re.compile(r"export\s+of-the-application\s+delivered")
        assert wait_until(lambda: bool(shown.search(output.read_text())), limit_s=READY_S), output.read_text()
        doctor = subprocess.run(
            ["/bin/sh", "-euc", f"set -a; . {state}/environment; exec postroom doctor"],
            cwd=project.parent, env=service.environment(project, {}), capture_output=True, text=True,
            timeout=GONE_S, check=False,
        )  # fmt: skip
        assert doctor.returncode == 0, doctor.stdout + doctor.stderr
    finally:
        up.send_signal(signal.SIGINT)
        assert up.wait(GONE_S) == 0, output.read_text()


def test_the_runbooks_command_works_in_a_deployment(service: Installation, dsn: str, tmp_path: Path) -> None:
    """As deploy/Dockerfile and deploy/systemd lay it out: the shim beside the environment, on PYTHONPATH."""
    command = "python -m app.jobs.run --job outbox-delivery --once"
    assert f"\n{command} " in (ROOT / "docs/runbook.md").read_text()
    shim = tmp_path / "shim"
    shutil.copytree(ROOT / "app", shim / "app")
    settings = {"POSTROOM_DATABASE_URL": dsn, "POSTROOM_STATE_DIR": str(tmp_path), "PYTHONPATH": str(shim)}
    for words in (command, "python -m app.jobs.run --job canary --once"):
        done = service.run(*words.split(), folder=tmp_path, settings=settings)
        assert done.code == 0, done.err
        assert "done" in done.out
