"""Postroom as a user installs it: the built wheel in an environment of its own, with what it asks for."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import venv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

from tests.fixtures.roles import as_deployed
from tests.processes.commands import ROOT, Ended

BUILD_TIMEOUT_S = 60.0
COMMAND_TIMEOUT_S = 90.0


def build(target: Path, *, source: Path = ROOT, umask: int = 0o022) -> tuple[Path, Path]:
    """Wheel and source archive of a checkout, as `make dist` makes them."""
    subprocess.run(
        [Path(sys.executable).with_name("hatchling"), "build", "-d", target],
        cwd=source, check=True, capture_output=True, timeout=BUILD_TIMEOUT_S, umask=umask,
    )  # fmt: skip
    [wheel], [archive] = target.glob("*.whl"), target.glob("*.tar.gz")
    return wheel, archive


@dataclass(frozen=True, slots=True)
class Installation:
    """An environment that sees nothing of the checkout."""

    path: Path

    @classmethod
    def create(cls, path: Path, wheel: Path, *extras: str) -> Installation:
        """Install a wheel by pip, and what its metadata asks for as links to our own environment.

        No network is asked: what would be fetched are the locked versions that lie here already.
        """
        venv.create(path, symlinks=True)
        made = cls(path)
        pip = [sys.executable, "-m", "pip", "--python", str(made.python), "install", "--quiet"]
        subprocess.run(
            [*pip, "--no-deps", "--no-index", str(wheel)],
            check=True, capture_output=True, timeout=BUILD_TIMEOUT_S,
        )  # fmt: skip
        for needed in _needed(made.distribution("postroom"), extras, set()):
            _link(needed, made.site_packages)
        return made

    @property
    def python(self) -> Path:
        return self.path / "bin" / "python"

    @property
    def site_packages(self) -> Path:
        return self.path / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"

    def distribution(self, name: str) -> Distribution:
        [found] = Distribution.discover(name=name, path=[str(self.site_packages)])
        return found

    def distributions(self) -> set[str]:
        return {found.name for found in Distribution.discover(path=[str(self.site_packages)])}

    def environment(self, folder: Path, settings: Mapping[str, str]) -> dict[str, str]:
        """A person's who has activated it and set nothing else."""
        path = f"{self.path / 'bin'}:{os.environ.get('PATH', '')}"
        return {"PATH": path, "HOME": str(folder), "TERM": "dumb", **settings}

    def run(self, *command: str, folder: Path, settings: Mapping[str, str] | None = None) -> Ended:
        """Run `postroom …` or `python …` in a folder to its end."""
        done = subprocess.run(
            [self.path / "bin" / command[0], *command[1:]],
            cwd=folder, env=self.environment(folder, as_deployed(command, settings or {})),
            stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False,
        )  # fmt: skip
        return Ended(done.returncode, done.stdout, done.stderr)

    def start(
        self, *command: str, folder: Path, settings: Mapping[str, str], output: Path
    ) -> subprocess.Popen[bytes]:
        """Start `postroom …` in a folder; what it says goes to a file."""
        with output.open("wb") as file:
            return subprocess.Popen(
                [self.path / "bin" / command[0], *command[1:]],
                cwd=folder, env=self.environment(folder, as_deployed(command, settings)),
                stdin=subprocess.DEVNULL,
                stdout=file, stderr=file,
            )  # fmt: skip


def _needed(
    found: Distribution, extras: tuple[str, ...], seen: set[tuple[str, str]]
) -> Iterator[Distribution]:
    """Whatever a distribution asks for, and what that asks for, from our environment."""
    for line in found.requires or ():
        requirement = Requirement(line)
        wanted = next((e for e in ("", *extras) if _applies(requirement, e)), None)
        key = (re.sub(r"[-_.]+", "-", requirement.name).lower(), ",".join(sorted(requirement.extras)))
        if wanted is None or key in seen:
            continue
        seen.add(key)
        inner = distribution(requirement.name)
        yield inner
        yield from _needed(inner, tuple(requirement.extras), seen)


def _applies(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _link(found: Distribution, site_packages: Path) -> None:
    for top in {file.parts[0] for file in found.files or () if file.parts[0] not in ("..", "__pycache__")}:
        _link_tree(Path(str(found.locate_file(top))), site_packages / top)


def _link_tree(source: Path, target: Path) -> None:
    """A folder that several distributions share (a namespace) becomes one of our own."""
    if source.is_dir() and not (source / "__init__.py").exists():
        target.mkdir(exist_ok=True)
        for inner in source.iterdir():
            _link_tree(inner, target / inner.name)
    elif not target.exists():
        target.symlink_to(source)
