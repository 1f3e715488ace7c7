"""The two autoscalers of the runners ask the same, of metrics that exist."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.deploy.files import DEPLOY, ROOT, documents

FOLDER: Final = DEPLOY / "kubernetes" / "autoscaling"
[HPA] = documents(FOLDER / "hpa.yaml")
[KEDA] = documents(FOLDER / "keda.yaml")
RUNNER: Final = next(
    each for each in documents(DEPLOY / "kubernetes" / "runner.yaml") if each["kind"] == "Deployment"
)
METRICS: Final = (ROOT / "docs" / "reference" / "metrics.md").read_text()
DEPLOYMENT: Final = (ROOT / "docs" / "deployment.md").read_text()
# What is used of KEDA's schema, from its documentation. The schema itself is not ours to ship.
# test_kubernetes.py holds the other manifest to Kubernetes' own.
BEHAVIOR: Final = {
    "scaleUp": {"policies": list, "stabilizationWindowSeconds": int},
    "scaleDown": {"policies": list, "stabilizationWindowSeconds": int},
}
FIELDS: Final[dict[str, Any]] = {
    "scaleTargetRef": {"apiVersion": str, "kind": str, "name": str},
    "minReplicaCount": int,
    "maxReplicaCount": int,
    "pollingInterval": int,
    "cooldownPeriod": int,
    "advanced": {"horizontalPodAutoscalerConfig": {"behavior": BEHAVIOR}},
    "triggers": list,
}
TRIGGER: Final[dict[str, Any]] = {
    "type": str,
    "name": str,
    "metricType": str,
    "metadata": {"serverAddress": str, "query": str, "threshold": str, "ignoreNullValues": str},
}


def assert_fits(given: Mapping[str, Any], fields: Mapping[str, Any], where: str) -> None:
    for name, value in given.items():
        assert name in fields, f"{where}.{name} is no field of KEDA's"
        kind = fields[name]
        if isinstance(kind, dict):
            assert_fits(value, kind, f"{where}.{name}")
        else:
            assert isinstance(value, kind), f"{where}.{name}"


def test_the_scaled_object_has_fields_that_are_known() -> None:
    assert (KEDA["apiVersion"], KEDA["kind"]) == ("keda.sh/v1alpha1", "ScaledObject")
    assert_fits(KEDA["spec"], FIELDS, "spec")
    for trigger in KEDA["spec"]["triggers"]:
        assert_fits(trigger, TRIGGER, "trigger")
    with pytest.raises(AssertionError, match=r"spec\.minReplicas is no field"):
        assert_fits({"minReplicas": 2}, FIELDS, "spec")


def test_both_say_the_same() -> None:
    hpa, keda = HPA["spec"], KEDA["spec"]
    assert HPA["metadata"] == KEDA["metadata"]
    assert hpa["scaleTargetRef"]["name"] == keda["scaleTargetRef"]["name"] == RUNNER["metadata"]["name"]
    assert "replicas" not in RUNNER["spec"], "two would fight over the number"
    assert (hpa["minReplicas"], hpa["maxReplicas"]) == (keda["minReplicaCount"], keda["maxReplicaCount"])
    assert hpa["behavior"] == keda["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    age, backlog = (each["external"]["target"] for each in hpa["metrics"])
    asked = [(each["metricType"], each["metadata"]["threshold"]) for each in keda["triggers"]]
    assert asked == [(age["type"], age["value"]), (backlog["type"], backlog["averageValue"])]


def test_they_look_at_metrics_that_are_exported() -> None:
    """A test holds that page to /metrics."""
    named = {each["external"]["metric"]["name"] for each in HPA["spec"]["metrics"]}
    queries = [each["metadata"]["query"] for each in KEDA["spec"]["triggers"]]
    assert named == {name for query in queries for name in re.findall(r"postroom_\w+", query)}
    assert all(f"| `{name}` | gauge |" in METRICS for name in named)


def test_the_adapter_of_the_page_asks_what_keda_asks() -> None:
    [block] = re.findall(r"```yaml\n(externalRules:.*?)```", DEPLOYMENT, re.DOTALL)
    rules = {each["seriesQuery"]: each["metricsQuery"] for each in yaml.safe_load(block)["externalRules"]}
    queries = [each["metadata"]["query"] for each in KEDA["spec"]["triggers"]]
    assert [rules[each["external"]["metric"]["name"]].split() for each in HPA["spec"]["metrics"]] == [
        each.split() for each in queries
    ]


SERIES: Final = {
    'postroom_deliveries{channel="email",status="pending",instance="a"}': "7000",
    'postroom_deliveries{channel="email",status="pending",instance="b"}': "7000",
    'postroom_deliveries{channel="email",status="retry",instance="a"}': "500",
    'postroom_deliveries{channel="export",status="pending",instance="a"}': "90000",
    'postroom_oldest_due_age_seconds{channel="email",instance="a"}': "40",
    'postroom_oldest_due_age_seconds{channel="email",instance="b"}': "39",
    'postroom_oldest_due_age_seconds{channel="export",instance="a"}': "0",
}


@pytest.mark.needs("promtool")
@pytest.mark.parametrize(
    ("trigger", "series", "value"),
    [
        (0, SERIES, 40),
        (1, SERIES, 7_000),
        (1, {name: value for name, value in SERIES.items() if "email" not in name}, 0),
        (0, {}, None),
        (1, {}, None),
    ],
    ids=["age", "backlog", "nothing is late", "no age", "no backlog"],
)
def test_a_query_says_what_it_should(
    trigger: int, series: Mapping[str, str], value: int | None, tmp_path: Path
) -> None:
    """Replicas of the API repeat each number, and what is due only tomorrow is no reason for more runners."""
    samples = [] if value is None else [{"labels": "{}", "value": value}]
    expression = KEDA["spec"]["triggers"][trigger]["metadata"]["query"]
    test = {
        "rule_files": [],
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": each} for name, each in series.items()],
                "promql_expr_test": [{"expr": expression, "eval_time": "0m", "exp_samples": samples}],
            }
        ],
    }
    path = tmp_path / "query.yml"
    path.write_text(yaml.safe_dump(test))
    done = subprocess.run(
        ["promtool", "test", "rules", str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
