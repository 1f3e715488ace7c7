"""deploy/ names no image without saying how new it is, and none that nobody has looked after for a year."""

from __future__ import annotations

import re
import tomllib
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import pytest

from tests.deploy.files import DEPLOY, documents
from tests.deploy.test_kubernetes import VERSIONS as KUBERNETES

KNOWN: dict[str, dict[str, Any]] = tomllib.loads((DEPLOY / "versions.toml").read_text())
LOOKED_MAX: Final = timedelta(days=365)


def named() -> dict[str, set[str]]:
    """The versions in the files themselves, by the last part of each image's name."""
    [compose] = documents(DEPLOY / "compose" / "compose.yaml")
    images = [service["image"] for service in compose["services"].values()]
    images += re.findall(r"^ARG PYTHON_IMAGE=(.+)$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    found: dict[str, set[str]] = {"kubernetes": {KUBERNETES[-1]}}
    for image in images:
        name, _, tag = image.rpartition("/")[2].partition(":")
        if name != "postroom":
            found.setdefault(name, set()).add(tag.removeprefix("v").partition("-")[0])
    return found


def fault_of(name: str, entry: dict[str, Any], today: date) -> str | None:
    if today - entry["looked_on"] <= LOOKED_MAX:
        return None
    return (
        f"{name} {entry['version']}: nobody has looked for a newer one since {entry['looked_on']}. "
        f"Look at {entry['where']}, then change deploy/versions.toml and what names it in deploy/."
    )


def test_what_is_named_is_what_is_written_down() -> None:
    assert named() == {name: {entry["version"]} for name, entry in KNOWN.items()}


@pytest.mark.parametrize("name", KNOWN)
def test_somebody_looked_for_a_newer_one_within_a_year(name: str) -> None:
    fault = fault_of(name, KNOWN[name], datetime.now(UTC).date())
    assert fault is None, fault


def test_what_is_older_is_told_with_what_to_do() -> None:
    entry = {"version": "1.0", "looked_on": date(2025, 1, 1), "where": "https://example.com"}
    assert fault_of("x", entry, date(2026, 1, 1)) is None
    told = fault_of("x", entry, date(2026, 1, 2))
    assert told is not None
    assert "since 2025-01-01" in told
    assert "https://example.com" in told
