"""Lock files pin everything by hash and say nothing about where it was fetched from."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

LOCKS = sorted((Path(__file__).parents[2] / "locks").glob("*.lock"))
REQUIREMENT = re.compile(r"[a-z0-9][a-z0-9._-]*(\[[a-z0-9,._-]+\])?==[^ ]+( ; [^\\]+)? \\")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?")


def test_there_are_locks_for_each_environment() -> None:
    assert [path.stem for path in LOCKS] == ["audit", "bootstrap", "dev", "docs", "runtime", "sbom"]


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_a_lock_holds_pinned_names_and_hashes_only(path: Path) -> None:
    """No address of a package index, no folder of a machine, no option: only what is installed."""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        assert REQUIREMENT.fullmatch(line) or HASH.fullmatch(line), f"{path.name}:{number}: {line}"
