"""The pages and docs/runbook.md name what is there: variables, units, services, folders."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from drill.pages import FOLDER, read_page
from tests.deploy.files import DEPLOY, ROOT, SETTING, documents, setting_names

RUNBOOK: Final = (ROOT / "docs" / "runbook.md").read_text()
PAGES: Final = sorted(FOLDER.glob("*.md"))
UNITS: Final = {path.stem: path.read_text() for path in (DEPLOY / "systemd").glob("*.service")}

_USED = re.compile(r"\$\{?([A-Z][A-Z_]*)")
_EXPORTED = re.compile(r"\bexport ([A-Z][A-Z_]*)=")
_ASSIGNED = re.compile(r"^\s*([A-Z][A-Z_]*)=", re.MULTILINE)
_READ = re.compile(r"\bread -r ([A-Z_ ]+)")


def exports() -> Iterator[tuple[str, str]]:
    """Name and value, unquoted, of what docs/runbook.md tells a person to set; the first of each."""
    seen = set()
    for name, quoted, bare in re.findall(r'^export ([A-Z_]+)=(?:"([^"]*)"|(\S*))', RUNBOOK, re.MULTILINE):
        if name not in seen:
            seen.add(name)
            yield name, quoted or bare


SET_ONCE: Final = dict(exports())


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_person_is_told_where_every_variable_comes_from(path: Path) -> None:
    text = path.read_text()
    page = read_page(path.stem)
    code = "\n".join((*page.diagnosis, *page.mitigation))
    known = {*SET_ONCE, *setting_names(), *_EXPORTED.findall(text), *_ASSIGNED.findall(code)}
    known |= {name for names in _READ.findall(code) for name in names.split()}
    assert set(_USED.findall(text)) - known == set()
    assert set(SETTING.findall(text)) - {"POSTROOM_"} <= set(setting_names())


def test_an_empty_variable_cannot_empty_a_setting() -> None:
    """At a prompt, a line that fails does not keep the next one from being run."""
    for path in PAGES:
        for line in path.read_text().splitlines():
            if line.startswith("sed -i") and "$NEW" in line.replace("${", "$"):
                assert re.search(r"\$\{NEW_\w+:\?", line), f"{path.name}: {line}"


def test_the_runbook_restarts_units_that_exist() -> None:
    for name in ("RESTART_API", "RESTART_RUNNER"):
        assert SET_ONCE[name].removeprefix("systemctl restart ") in UNITS
    assert " work" in UNITS[SET_ONCE["RESTART_RUNNER"].split()[-1]]
    assert " serve" in UNITS[SET_ONCE["RESTART_API"].split()[-1]]


def test_the_runbook_reads_the_environment_that_the_units_read() -> None:
    folder = SET_ONCE["PATH"].split(":")[0]
    for part in ("api", "runner"):
        unit = UNITS[f"postroom-{part}"]
        assert f"EnvironmentFile=-{SET_ONCE[f'{part.upper()}_ENV_FILE']}\n" in unit
    for unit in UNITS.values():
        assert f"ExecStart={folder}/" in unit


def test_the_runbook_starts_services_of_the_compose_file() -> None:
    [compose] = documents(DEPLOY / "compose" / "compose.yaml")
    named = set(re.findall(r"docker compose (?:exec -T|up --detach(?: --[a-z-]+)*) (\w+)", RUNBOOK))
    assert named == {"runner", "database", "api"}
    assert named <= set(compose["services"])
    assert "--web.enable-lifecycle" in compose["services"]["prometheus"]["command"]
    for name in re.findall(r"(deploy/compose/[\w.]+)", RUNBOOK):
        example = {".env": "env.example", "runner.env": "runner.env.example"}.get(Path(name).name)
        assert (ROOT / name).with_name(example or Path(name).name).exists()


def test_the_runbook_lists_every_page() -> None:
    assert sorted(re.findall(r"\(runbooks/(\w+)\.md\) \|", RUNBOOK)) == [path.stem for path in PAGES]
