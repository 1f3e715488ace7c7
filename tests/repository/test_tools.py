"""A machine without a program skips by name what needs it; CI does not skip."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import tools
from tests.tools import NPM, PACKAGES, find, lines_of_missing, require


@pytest.fixture
def bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(tools, "NPM_FOLDER", tmp_path / ".azurite")
    for name in ("CI", "POSTROOM_TEST_NPM_FAILED"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("bare_machine")
def test_a_missing_program_skips_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find("promtool") is None
    with pytest.raises(pytest.skip.Exception, match=r"promtool .*apt-get install prometheus") as skipped:
        require("promtool")
    reasons = [str(skipped.value), str(skipped.value), "needs two versions of PostgreSQL"]
    assert lines_of_missing(reasons) == ["skipped for lack of a program: 2 (apt-get install prometheus)"]

    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="needs promtool"):
        require("promtool")


@pytest.mark.usefixtures("bare_machine")
def test_in_ci_what_npm_could_have_brought_is_missed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.skip.Exception) as skipped:
        require("azurite-blob")
    command = f"npm install --prefix .azurite {NPM['azurite-blob']}"
    assert lines_of_missing([str(skipped.value)]) == [f"skipped for lack of a program: 1 ({command})"]

    (tmp_path / "npm").touch(mode=0o755)
    with pytest.raises(pytest.fail.Exception, match="needs azurite-blob"):
        require("azurite-blob")
    monkeypatch.setenv("POSTROOM_TEST_NPM_FAILED", "1")
    with pytest.raises(pytest.skip.Exception):
        require("azurite-blob")


@pytest.mark.usefixtures("bare_machine")
def test_a_program_that_is_there_is_found(tmp_path: Path) -> None:
    (tmp_path / "chromium-browser").touch(mode=0o755)
    assert require("chromium") == str(tmp_path / "chromium-browser")
    installed = tmp_path / ".azurite" / "node_modules" / ".bin" / "azurite-blob"
    installed.parent.mkdir(parents=True)
    installed.touch(mode=0o755)
    assert require("azurite-blob") == str(installed)


def test_ci_installs_the_package_of_every_program() -> None:
    installs = (Path(__file__).parents[2] / ".ci" / "run").read_text()
    assert [name for name in PACKAGES.values() if f"missing+=({name})" not in installs] == []
    assert [name for name in NPM.values() if f" {name} " not in installs] == []
