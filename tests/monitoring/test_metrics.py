"""Names agree: what the service exports, what rules and dashboards read, what is documented."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest
import yaml

from drill.certificate import write_certificate
from drill.pages import FOLDER as PAGES
from monitoring.dashboards.__main__ import FOLDER as DASHBOARDS
from postroom.base.email_settings import EmailSettings
from postroom.base.export_settings import ExportSettings
from postroom.base.settings import Settings
from postroom.worker.model import JOB_NAMES
from tests.fixtures.api import running_api
from tests.monitoring.expressions import matches, metrics_in, not_reduced, selectors_in
from tests.monitoring.promtool import RULES

PROMETHEUS_OWN: Final = {"up", "ALERTS"}
MAY_BE_MISSING: Final = {"postroom_certificate_expiry_days"}
"""Rightly, where the settings name no certificate."""
HISTOGRAM_PARTS: Final = ("_bucket", "_count", "_sum")
DOCUMENTED: Final = Path(__file__).parents[2] / "docs" / "reference" / "metrics.md"


@dataclass(frozen=True, slots=True)
class Exported:
    """What a running service exports: type by family, and every family that has samples."""

    types: dict[str, str]
    with_samples: set[str]
    text: str

    @property
    def names(self) -> set[str]:
        histograms = {name for name, kind in self.types.items() if kind == "histogram"}
        return set(self.types) | {f"{name}{part}" for name in histograms for part in HISTOGRAM_PARTS}


@pytest.fixture
async def exported(dsn: str, tmp_path: Path) -> Exported:
    certificate = tmp_path / "ca.pem"
    write_certificate(certificate, ends_at=datetime.now(UTC) + timedelta(days=30))
    settings = Settings(
        state_dir=tmp_path,
        email=EmailSettings(tls_ca=certificate),
        exports=ExportSettings(url=(tmp_path / "exports").as_uri()),
    )
    async with running_api(dsn, settings) as api:
        await api.get("/livez")
        text = (await api.get("/metrics")).text
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    samples = set(re.findall(r"^([a-zA-Z_:][\w:]*)[{ ]", text, re.MULTILINE))
    return Exported(
        types, {name for name in types if any(sample.startswith(name) for sample in samples)}, text
    )


def read_expressions() -> Iterator[tuple[str, str]]:
    """Where it stands, and the expression."""
    for path in RULES:
        for group in yaml.safe_load(path.read_text())["groups"]:
            for rule in group["rules"]:
                yield f"{path.name}: {rule.get('alert') or rule['record']}", rule["expr"]
    for path in DASHBOARDS.glob("*.json"):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel.get("targets", ()):
                yield f"{path.name}: {panel['title']}", target["expr"]


def recorded() -> set[str]:
    groups = [group for path in RULES for group in yaml.safe_load(path.read_text())["groups"]]
    return {rule["record"] for group in groups for rule in group["rules"] if "record" in rule}


async def test_whatever_rules_and_dashboards_read_is_exported(exported: Exported) -> None:
    known = exported.names | recorded() | PROMETHEUS_OWN
    unknown = {place: metrics_in(text) - known for place, text in read_expressions()}
    assert {place: names for place, names in unknown.items() if names} == {}


async def test_every_family_has_samples_from_the_start(exported: Exported) -> None:
    assert set(exported.types) - exported.with_samples == set()


async def test_readiness_is_exported_check_by_check(exported: Exported) -> None:
    """The database is there and migrated, and no runner has ever beaten."""
    found = dict(re.findall(r'^postroom_ready\{check="(\w+)"\} (\S+)$', exported.text, re.MULTILINE))
    assert found == {"database": "1.0", "migrations": "1.0", "jobs": "0.0"}


@pytest.mark.parametrize("status", ["200", "400", "413", "500", "503"])
async def test_answers_to_stripe_are_counted_from_0(exported: Exported, status: str) -> None:
    """The first 503 would be invisible to increase() otherwise."""
    labels = f'method="POST",route="/v1/stripe/webhook",status="{status}"'
    assert f"postroom_http_requests_total{{{labels}}} 0.0" in exported.text


async def test_whatever_is_exported_is_documented_and_nothing_else(exported: Exported) -> None:
    text = DOCUMENTED.read_text().split("## Recorded by our rules")[0]
    documented = {
        name
        for name in re.findall(r"`([a-z_]+)`", text)
        if name.startswith(
            ("job_last_", "outbox_", "email_", "stripe_", "circuit_s", "postroom_", "process_", "python_")
        )
    } - {"email_ca", "circuit_open"}
    assert documented == set(exported.types)


async def test_every_selector_finds_a_series(exported: Exported) -> None:
    """A label or a value that nobody exports makes an alert silent and a panel empty."""
    series = [
        (name, dict(re.findall(r'(\w+)="([^"]*)"', labels)))
        for name, labels in re.findall(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? \S+$", exported.text, re.MULTILINE)
    ]
    empty = {
        f"{place}: {name}{matchers}"
        for place, text in read_expressions()
        for name, matchers in selectors_in(text)
        if name in exported.names
        and not any(name == known and matches(matchers, labels) for known, labels in series)
    }
    assert empty == set()


async def test_replicas_that_show_the_same_are_one(exported: Exported) -> None:
    """Only what each process counts of its own may be added up."""
    repeated = {
        name for name in exported.names if not name.startswith(("postroom_http_", "process_", "python_"))
    }
    wrong = {place: not_reduced(text) & repeated for place, text in read_expressions()}
    assert {place: names for place, names in wrong.items() if names} == {}


def test_whatever_alerts_read_is_missed_when_it_vanishes() -> None:
    """Each metric, and each value that an alert asks for by name, stands in MetricsAbsent."""
    rules = [
        rule
        for path in RULES
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
    ]
    [absent] = [rule["expr"] for rule in rules if rule.get("alert") == "MetricsAbsent"]
    missed = metrics_in(absent)
    read = set().union(*(metrics_in(rule["expr"]) for rule in rules)) - recorded()
    assert read - missed == MAY_BE_MISSING
    jobs = [matchers for name, matchers in selectors_in(absent) if name == "job_last_success_timestamp"]
    assert {value for [(_, _, value)] in jobs} == set(JOB_NAMES)


async def test_every_metric_that_a_page_looks_for_is_exported(exported: Exported) -> None:
    texts = {path.name: path.read_text() for path in (*PAGES.glob("*.md"), PAGES.parent / "runbook.md")}
    looked_for = {
        (name, f"^(?:{part})")
        for name, text in texts.items()
        for pattern in re.findall(r"grep -E '\^([^']*)'", text)
        for part in alternatives(pattern)
    }
    assert len(looked_for) > 10
    missing = {each for each in looked_for if not re.search(each[1], exported.text, re.MULTILINE)}
    assert missing == set()


def alternatives(pattern: str) -> list[str]:
    """`(a|b)` and `x_(a|b)`, each alternative with what stands around it."""
    found = re.fullmatch(r"([^(]*)\(([^)]*)\)(.*)", pattern)
    return [f"{found[1]}{part}{found[3]}" for part in found[2].split("|")] if found else [pattern]


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ('sum by (x) (outbox_queue_messages{status="dead"}) > 0', {"outbox_queue_messages"}),
        ("sum(rate(stripe_webhook_events_total[5m]))", {"stripe_webhook_events_total"}),
        ("sum(abs(postroom_ledger_drift)) > 0", {"postroom_ledger_drift"}),
        ("sum(max_over_time(circuit_state[5m]))", {"circuit_state"}),
        ("sum(1 * circuit_state)", {"circuit_state"}),
        ("max(sum(circuit_state))", {"circuit_state"}),
        ("circuit_state > 0", {"circuit_state"}),
        ("max(up) + circuit_state", {"circuit_state"}),
        ("sum(max by (outcome) (rate(stripe_webhook_events_total[5m])))", set()),
        ("max(circuit_state)", set()),
        ('absent(circuit_state{circuit="email"})', set()),
    ],
)
def test_what_a_second_replica_would_change_is_seen(expression: str, found: set[str]) -> None:
    assert not_reduced(expression) == found


@pytest.mark.parametrize(
    ("matcher", "labels", "matched"),
    [
        (("status", "=", "dead"), {"status": "dead"}, True),
        (("status", "=", "dead"), {"status": "died"}, False),
        (("status", "=~", "5.."), {"status": "503"}, True),
        (("status", "=~", "50"), {"status": "503"}, False),
        (("status", "!=", "dead"), {}, True),
        (("status", "!~", "d.*"), {"status": "dead"}, False),
    ],
)
def test_a_selector_matches_as_in_prometheus(
    matcher: tuple[str, str, str], labels: dict[str, str], matched: bool
) -> None:
    assert matches([matcher], labels) is matched


def test_names_are_found_between_words_and_labels() -> None:
    expression = (
        'time() - max by (job) (job_last_success_timestamp{job!="jobs-runner"}) > 15 * 60 or absent(up)'
    )
    assert metrics_in(expression) == {"job_last_success_timestamp", "up"}
