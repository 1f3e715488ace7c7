"""The manifests: held to the schemas of Kubernetes, and to what the service needs of them."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import kubernetes_validate
import pytest

from tests.deploy.files import DEPLOY, ROOT, assert_command_exists, documents, is_pinned

RESOURCES = [
    document for path in sorted((DEPLOY / "kubernetes").glob("*.yaml")) for document in documents(path)
]
METRICS = (ROOT / "docs" / "reference" / "metrics.md").read_text()
NAMES = [f"{each['kind']}/{each['metadata']['name']}" for each in RESOURCES]
VERSIONS = ("1.30", "1.37")  # the oldest that these manifests are for, and the newest known here
WORKLOADS = {
    name: each["spec"]["template"]
    for name, each in zip(NAMES, RESOURCES, strict=True)
    if each["kind"] in ("Deployment", "Job")
}


def find(name: str) -> dict[str, Any]:
    found: dict[str, Any] = RESOURCES[NAMES.index(name)]
    return found


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("resource", RESOURCES, ids=NAMES)
def test_a_manifest_fits_the_schema(resource: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(resource, version, strict=True)


def test_the_schema_sees_a_wrong_field() -> None:
    wrong = deepcopy(find("Deployment/postroom-api"))
    wrong["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_pod_is_restricted_and_runs_a_command_that_exists(name: str) -> None:
    spec = WORKLOADS[name]["spec"]
    [container] = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert is_pinned(container["image"])
    assert_command_exists(container["command"])
    assert {"configMapRef": {"name": "postroom"}} in container["envFrom"]
    assert {"secretRef": {"name": "postroom"}} in container["envFrom"]
    login = {"migrate": "owner"}.get(container["name"], container["name"])
    assert container["envFrom"][-1] == {"secretRef": {"name": f"postroom-database-{login}"}}, (
        "its own comes last"
    )
    assert {mount["name"] for mount in container["volumeMounts"]} == {
        each["name"] for each in spec["volumes"]
    }


def test_probes_ask_what_each_may_ask() -> None:
    [api] = WORKLOADS["Deployment/postroom-api"]["spec"]["containers"]
    assert api["livenessProbe"]["httpGet"]["path"] == "/livez"
    assert api["readinessProbe"]["httpGet"]["path"] == "/readyz?exclude=jobs"
    port = find("ConfigMap/postroom")["data"]["POSTROOM_PORT"]
    assert [each["containerPort"] for each in api["ports"]] == [int(port)]
    [rule] = find("NetworkPolicy/postroom-api")["spec"]["ingress"]
    assert [each["port"] for each in rule["ports"]] == [int(port)]


@pytest.mark.parametrize("name", ["api", "runner"])
def test_what_selects_the_pods_selects_them(name: str) -> None:
    labels = WORKLOADS[f"Deployment/postroom-{name}"]["metadata"]["labels"]
    assert find(f"Deployment/postroom-{name}")["spec"]["selector"]["matchLabels"] == labels
    assert find(f"PodDisruptionBudget/postroom-{name}")["spec"]["selector"]["matchLabels"] == labels
    if name == "api":
        assert find("Service/postroom-api")["spec"]["selector"] == labels


def test_the_autoscaler_looks_at_a_metric_that_is_exported() -> None:
    spec = find("HorizontalPodAutoscaler/postroom-runner")["spec"]
    [metric] = spec["metrics"]
    assert f"| `{metric['external']['metric']['name']}` | gauge |" in METRICS, (
        "a test holds that page to /metrics"
    )
    assert spec["scaleTargetRef"]["name"] == find("Deployment/postroom-runner")["metadata"]["name"]
    assert "replicas" not in find("Deployment/postroom-runner")["spec"], "two would fight over the number"
