"""Rules, routes, pages and dashboards fit each other, and the tools of their makers accept them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from drill.faults import SCENARIOS
from drill.pages import FOLDER, read_page, split
from monitoring.dashboards.__main__ import FOLDER as DASHBOARDS
from monitoring.dashboards.__main__ import stale
from tests.monitoring.promtool import MONITORING, RULES, needs_alertmanager, needs_prometheus

ANNOTATIONS: Final = {"summary", "description", "runbook_url", "dashboard_url"}
SEVERITIES: Final = {"critical", "warning", "none"}


def rules() -> Iterator[dict[str, Any]]:
    for path in RULES:
        for group in yaml.safe_load(path.read_text())["groups"]:
            yield from group["rules"]


ALERTS: Final = [rule for rule in rules() if "alert" in rule]
NAMES: Final = sorted({rule["alert"] for rule in ALERTS})


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_prometheus
def test_promtool_accepts_rules_and_scrape_configuration(tmp_path: Path) -> None:
    run("promtool", "check", "rules", *map(str, RULES))
    shutil.copytree(MONITORING / "prometheus", tmp_path / "prometheus")
    (tmp_path / "prometheus" / "metrics_token").write_text("token")
    run("promtool", "check", "config", str(tmp_path / "prometheus" / "prometheus.yml"))


@needs_alertmanager
def test_amtool_accepts_the_routing() -> None:
    run("amtool", "check-config", str(MONITORING / "alertmanager" / "alertmanager.yml"))


@needs_alertmanager
@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        (["alertname=Watchdog", "severity=none"], "heartbeat"),
        (["alertname=LedgerDrift", "severity=critical"], "page"),
        (["alertname=JobStale", "severity=warning"], "ticket"),
    ],
)
def test_an_alert_reaches_who_it_is_for(labels: list[str], receiver: str) -> None:
    path = MONITORING / "alertmanager" / "alertmanager.yml"
    run(
        "amtool",
        "config",
        "routes",
        "test",
        f"--config.file={path}",
        f"--verify.receivers={receiver}",
        *labels,
    )


def test_the_services_own_job_label_is_kept() -> None:
    document = yaml.safe_load((MONITORING / "prometheus" / "prometheus.yml").read_text())
    assert all(scrape["honor_labels"] is True for scrape in document["scrape_configs"])


def test_every_inhibition_stays_in_its_environment_and_names_alerts_that_exist() -> None:
    document = yaml.safe_load((MONITORING / "alertmanager" / "alertmanager.yml").read_text())
    for rule in document["inhibit_rules"]:
        assert "environment" in rule["equal"]
        for matcher in (*rule["source_matchers"], *rule["target_matchers"]):
            if matcher.startswith("alertname"):
                assert set(re.findall(r"[A-Z]\w+", matcher)) <= set(NAMES), matcher


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_says_what_it_is_and_where_to_go_on(rule: dict[str, Any]) -> None:
    assert set(rule["annotations"]) == ANNOTATIONS
    assert rule["labels"]["severity"] in SEVERITIES
    assert rule["annotations"]["runbook_url"].endswith(f"/{rule['alert']}.md")
    board = rule["annotations"]["dashboard_url"].rpartition("/")[2]
    assert (DASHBOARDS / f"{board}.json").exists()


def test_every_alert_has_its_page_and_every_page_its_alert() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.md")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_complete(name: str) -> None:
    page = read_page(name)
    text = (FOLDER / f"{name}.md").read_text()
    assert text.startswith(f"# {name}\n")
    assert page.diagnosis
    assert page.mitigation
    assert all(section.strip() for section in split(text).values())
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert (FOLDER / target).exists(), f"{name}.md links to {target}"


@pytest.mark.parametrize("name", NAMES)
def test_every_step_of_a_page_is_shell(name: str) -> None:
    page = read_page(name)
    for block in (*page.diagnosis, *page.mitigation):
        run("bash", "-n", "-c", block)


def test_every_alert_is_drilled() -> None:
    assert sorted({name for scenario in SCENARIOS for name in scenario.alerts}) == NAMES


def test_the_dashboards_are_current() -> None:
    assert stale() == [], "run: python -m monitoring.dashboards"


@needs_prometheus
def test_every_query_of_a_dashboard_is_promql(tmp_path: Path) -> None:
    """Nobody else reads them before somebody looks at an empty panel."""
    queries = [
        target["expr"]
        for path in sorted(DASHBOARDS.glob("*.json"))
        for panel in json.loads(path.read_text())["panels"]
        for target in panel.get("targets", ())
    ]
    assert len(queries) > 30
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries)]
    path = tmp_path / "queries.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboards", "rules": rules}]}))
    run("promtool", "check", "rules", str(path))


def test_a_dashboard_that_was_edited_by_hand_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in DASHBOARDS.glob("*.json"):
        document = json.loads(path.read_text())
        document["title"] = "edited"
        (tmp_path / path.name).write_text(json.dumps(document))
    monkeypatch.setattr("monitoring.dashboards.__main__.FOLDER", tmp_path)
    assert len(stale()) == 3
