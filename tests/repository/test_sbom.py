"""What `make sbom` writes is what the lock file installs."""

from __future__ import annotations

import json
import os
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
WRITTEN = ROOT / "dist/postroom.cdx.json"


@pytest.fixture
def bill() -> dict[str, Any]:
    if not WRITTEN.exists() and not os.environ.get("CI"):
        pytest.skip("needs dist/postroom.cdx.json: make sbom")
    written: dict[str, Any] = json.loads(WRITTEN.read_text())
    return written


def test_it_names_all_that_is_installed_each_with_its_hashes(bill: dict[str, Any]) -> None:
    lock = (ROOT / "locks/runtime.lock").read_text()
    locked = {
        (name, version) for name, version in re.findall(r"^([a-z0-9._-]+)(?:\[[^]]*\])?==([^ ]+)", lock, re.M)
    }
    assert {(each["name"], each["version"]) for each in bill["components"]} == locked
    hashed = [each["name"] for each in bill["components"] if not each["externalReferences"][0]["hashes"]]
    assert hashed == []


def test_it_says_what_of_and_is_the_same_each_time(bill: dict[str, Any]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    described = bill["metadata"]["component"]
    assert (described["name"], described["version"]) == (project["name"], project["version"])
    assert "timestamp" not in bill["metadata"]
    assert bill["bomFormat"] == "CycloneDX"
