"""The image: built from the Dockerfile and started, on a base that no registry gives.

`make image`: as root, with a way to Debian's mirror and a package index; four minutes and 2 GB for a while.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest

from postroom.base.migrate import migrate
from postroom.postgres.server import LocalPostgres
from tests.deploy.files import DEPLOY, ROOT
from tests.processes.local_postgres import wait_until

SUITE: Final = "trixie"
CERTIFICATES: Final = "/etc/ssl/certs/ca-certificates.crt"
pytestmark = [
    pytest.mark.needs("buildah", "debootstrap"),
    pytest.mark.skipif("POSTROOM_TEST_IMAGE" not in os.environ, reason="make image"),
    pytest.mark.timeout(1_200),
]


class Builder:
    """buildah with a store of its own, and without namespaces, which a container may forbid."""

    def __init__(self, folder: Path) -> None:
        self._store = [
            "--root",
            str(folder / "store"),
            "--runroot",
            str(folder / "run"),
            "--storage-driver",
            "vfs",
        ]

    def command(self, *arguments: str) -> list[str]:
        return ["buildah", *self._store, *arguments]

    def __call__(self, *arguments: str) -> str:
        done = subprocess.run(
            self.command(*arguments), capture_output=True, text=True, timeout=900, check=False
        )
        assert done.returncode == 0, done.stdout[-2_000:] + done.stderr[-2_000:]
        return done.stdout.strip()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("image")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def builder(folder: Path) -> Builder:
    return Builder(folder)


@pytest.fixture(scope="module")
def base(folder: Path, builder: Builder) -> str:
    """Debian with its own Python in place of the official image of Python."""
    debian = folder / "debian"
    packages = "--include=python3,python3-venv,ca-certificates"
    subprocess.run(["debootstrap", "--variant=minbase", packages, SUITE, debian], timeout=900, check=True)
    (debian / "usr/bin/python").symlink_to("python3")
    shutil.copyfile(CERTIFICATES, debian / CERTIFICATES.lstrip("/"))  # a proxy's may be among them
    container = builder("from", "scratch")
    builder("add", "--quiet", container, str(debian), "/")
    shutil.rmtree(debian)
    builder(
        "config", "--env", f"SSL_CERT_FILE={CERTIFICATES}", "--env", f"PIP_CERT={CERTIFICATES}", container
    )
    builder("commit", "--quiet", "--rm", container, "localhost/python-base")
    return "localhost/python-base"


@pytest.fixture(scope="module")
def container(builder: Builder, base: str) -> str:
    builder(
        "build", "--network", "host", "--isolation", "chroot", "--pull-never",
        "--build-arg", f"PYTHON_IMAGE={base}",
        "--ignorefile", str(DEPLOY / "Dockerfile.dockerignore"), "--file", str(DEPLOY / "Dockerfile"),
        "--tag", "localhost/postroom", str(ROOT),
    )  # fmt: skip
    return builder("from", "--pull-never", "localhost/postroom")


@contextmanager
def started(
    builder: Builder, container: str, *command: str, **settings: str
) -> Iterator[subprocess.Popen[str]]:
    given = [part for name, value in settings.items() for part in ("--env", f"{name}={value}")]
    arguments = builder.command(
        "run", "--isolation", "chroot", "--network", "host", *given, container, "--", *command
    )
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait(60)


def test_the_image_runs_as_nobody_special_and_without_pip(builder: Builder, container: str) -> None:
    run = ("run", "--isolation", "chroot", container, "--")
    assert builder(*run, "id", "--user") == "10001"
    assert builder(*run, "postroom", "--version") == "0.1.0"
    assert builder(*run, "sh", "-c", "ls /opt/postroom/bin | grep -c '^pip' || true") == "0"
    assert "outbox-delivery" in builder(*run, "python", "-m", "app.jobs.run", "--help")


def test_what_was_built_serves_and_works_in_prod(
    builder: Builder, container: str, tmp_path: Path, unused_tcp_port: int
) -> None:
    with LocalPostgres(tmp_path, flavour="embedded") as server:
        asyncio.run(migrate(server.dsn))
        assert urlsplit(server.dsn).hostname == "127.0.0.1"
        database = {"POSTROOM_DATABASE_URL": server.dsn}
        callers = {"POSTROOM_METRICS_TOKEN": "m" * 24, "POSTROOM_PORT": str(unused_tcp_port)}

        def ready() -> bool:
            try:
                url = f"http://127.0.0.1:{unused_tcp_port}/readyz?exclude=jobs"
                with urllib.request.urlopen(url, timeout=5) as answer:
                    return bool(answer.status == 200)
            except OSError:
                return False

        with started(builder, container, "postroom", "serve", **database, **callers):
            assert wait_until(ready, limit_s=60)
        with started(builder, container, "postroom", "work", "--once", **database) as runner:
            said, _ = runner.communicate(timeout=60)
            assert runner.returncode == 0, said
