"""The manifests: held to the schemas of Kubernetes, and to what the service needs of them."""

from __future__ import annotations

from copy import deepcopy
from ipaddress import ip_address, ip_network
from typing import Any

import kubernetes_validate
import pytest

from tests.deploy.files import DEPLOY, ROOT, assert_command_exists, documents, is_pinned

FILES = [
    *sorted((DEPLOY / "kubernetes").glob("*.yaml")),
    DEPLOY / "kubernetes" / "autoscaling" / "hpa.yaml",
]
RESOURCES = [document for path in FILES for document in documents(path)]
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
    assert {mount["name"] for mount in container["volumeMounts"]} == {
        each["name"] for each in spec["volumes"]
    }


SECRETS = {
    "api": {"postroom", "postroom-api", "postroom-database-api"},
    "runner": {"postroom", "postroom-runner", "postroom-database-runner"},
    "migrate": {"postroom-database-owner"},
}


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_pod_gets_its_own_secrets_alone(name: str) -> None:
    [container] = WORKLOADS[name]["spec"]["containers"]
    config, *secrets = container["envFrom"]
    assert config == {"configMapRef": {"name": "postroom"}}
    names = [each["secretRef"]["name"] for each in secrets]
    assert set(names) == SECRETS[container["name"]]
    assert names[-1].startswith("postroom-database-"), "its own login has the last word"


PRIVATE = (
    "10.1.2.3",
    "172.16.0.1",
    "192.168.0.1",
    "169.254.169.254",
    "100.64.0.1",
    "127.0.0.1",
    "fd00::1",
    "fe80::1",
)


def reaches(policy: str, address: str, port: int) -> bool:
    """Whether the egress of a policy lets pods go there."""
    target = ip_address(address)
    for rule in find(policy)["spec"]["egress"]:
        blocks = [each["ipBlock"] for each in rule["to"] if "ipBlock" in each]
        inside = any(
            target in ip_network(block["cidr"])
            and not any(target in ip_network(left_out) for left_out in block.get("except", []))
            for block in blocks
        )
        if inside and any(
            each["port"] <= port <= each.get("endPort", each["port"]) for each in rule["ports"]
        ):
            return True
    return False


def test_nobody_gets_out_but_to_names_and_the_database() -> None:
    everybody = find("NetworkPolicy/postroom")["spec"]
    assert everybody["podSelector"] == {"matchLabels": {"app.kubernetes.io/name": "postroom"}}
    assert everybody["policyTypes"] == ["Ingress", "Egress"]
    assert [sorted({each["port"] for each in rule["ports"]}) for rule in everybody["egress"]] == [
        [53],
        [5432],
    ]
    for template in WORKLOADS.values():
        assert template["metadata"]["labels"]["app.kubernetes.io/name"] == "postroom"


@pytest.mark.parametrize("policy", ["NetworkPolicy/postroom-api", "NetworkPolicy/postroom-runner"])
def test_no_pod_reaches_what_is_inside(policy: str) -> None:
    assert [(a, port) for a in PRIVATE for port in (80, 443, 6443, 8080) if reaches(policy, a, port)] == []
    assert reaches(policy, "1.1.1.1", 443)
    assert reaches(policy, "2606:4700::1", 443)
    assert reaches(policy, "1.1.1.1", 587) == policy.endswith("runner")


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
