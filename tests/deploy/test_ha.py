"""A PostgreSQL on three machines: Patroni, etcd, HAProxy and PgBouncer, and CloudNativePG's cluster."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from postroom.base.listener import free_ports
from tests.deploy.files import DEPLOY, ROOT, documents
from tests.processes.local_postgres import wait_until
from tests.tools import require

HA = DEPLOY / "ha"
HERE = "127.0.0.2"
"""Patroni takes no address of everybody's own machine for one that others can reach."""
NOBODY = 65534
HOW_TO = (ROOT / "docs" / "how-to" / "high-availability.md").read_text()
[PATRONI] = documents(HA / "patroni.yml")
[CLUSTER] = documents(DEPLOY / "kubernetes" / "cloudnative-pg" / "cluster.yaml")
# What is used of CloudNativePG's schema, from its documentation. The schema itself is not ours to ship.
FIELDS: dict[str, Any] = {
    "instances": int, "imageName": str, "enableSuperuserAccess": bool, "superuserSecret": {"name": str},
    "bootstrap": {"initdb": {"database": str, "owner": str, "dataChecksums": bool}},
    "postgresql": {
        "synchronous": {"method": str, "number": int, "dataDurability": str, "failoverQuorum": bool},
        "parameters": dict,
    },
    "switchoverDelay": int, "stopDelay": int, "smartShutdownTimeout": int, "primaryUpdateMethod": str,
    "affinity": {"podAntiAffinityType": str, "topologyKey": str},
    "storage": {"size": str}, "walStorage": {"size": str},
    "resources": {"requests": dict, "limits": dict},
}  # fmt: skip


def configuration(folder: Path, etcd_port: int) -> Path:
    """The file with addresses of this machine."""
    text = re.sub(r"10\.0\.0\.1[123]:2379", f"{HERE}:{etcd_port}", (HA / "patroni.yml").read_text())
    postgres, rest = free_ports(2)
    for shipped, here in (("10.0.0.11:5432", postgres), ("10.0.0.11:8008", rest)):
        text = text.replace(shipped, f"{HERE}:{here}")
    path = folder / "patroni.yml"
    path.write_text(text.replace("/var/lib/postgresql", str(folder)))
    return path


def test_patroni_takes_its_file(tmp_path: Path) -> None:
    program = require("patroni")
    if not Path(PATRONI["postgresql"]["bin_dir"]).is_dir():
        pytest.skip("needs the PostgreSQL of the file (Debian: apt-get install postgresql-15)")
    with socket.create_server((HERE, 0)) as etcd:
        path = configuration(tmp_path, etcd.getsockname()[1])
        assert validated(program, path) == ""
        path.write_text(path.read_text().replace("    ttl: 20", "    ttl: long"))
        assert "ttl" in validated(program, path)


def validated(program: str, path: Path) -> str:
    """What Patroni finds wrong."""
    environment = {"PATH": os.environ.get("PATH", "")}
    done = subprocess.run(
        [program, "--validate-config", str(path)],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr


def test_the_times_of_patroni_fit_together() -> None:
    told = PATRONI["bootstrap"]["dcs"]
    assert told["ttl"] >= 20, "Patroni's least"
    assert told["loop_wait"] + 2 * told["retry_timeout"] <= told["ttl"]
    assert told["synchronous_mode"] is told["synchronous_mode_strict"] is told["failsafe_mode"] is True
    assert "etcd3" not in PATRONI, "see the comment in the file"


def test_haproxy_takes_its_file() -> None:
    program = require("haproxy")
    done = subprocess.run(
        [program, "-c", "-f", str(HA / "haproxy.cfg")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr


def test_every_file_names_the_same_machines() -> None:
    machines = [f"10.0.0.1{n}" for n in (1, 2, 3)]
    etcd = dict(line.split("=", 1) for line in (HA / "etcd.env").read_text().splitlines() if line[0] != "#")
    assert etcd["ETCD_INITIAL_CLUSTER"] == ",".join(
        f"pg{n}=http://{machine}:2380" for n, machine in enumerate(machines, 1)
    )
    assert PATRONI["etcd"]["hosts"] == [f"{machine}:2379" for machine in machines]
    assert re.findall(r"server (\S+) (\S+) check port 8008", (HA / "haproxy.cfg").read_text()) == [
        (f"pg{n}", f"{machine}:5432") for n, machine in enumerate(machines, 1)
    ]
    assert PATRONI["bootstrap"]["dcs"]["slots"] == {f"pg{n}": {"type": "physical"} for n in (1, 2, 3)}
    assert PATRONI["restapi"]["listen"].endswith(":8008")
    assert etcd["ETCD_ENABLE_V2"] == "true", "Patroni's section is `etcd`"
    assert f"host=127.0.0.1 port={haproxy_port()}" in (HA / "pgbouncer.ini").read_text()
    assert f"@127.0.0.1:{haproxy_port()}/postroom" in HOW_TO


def haproxy_port() -> str:
    [found] = re.findall(r"bind 127\.0\.0\.1:(\d+)", (HA / "haproxy.cfg").read_text())
    return str(found)


@pytest.fixture
def pgbouncer(dsn: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """PgBouncer with its file, behind which is a database of the tests. Its URL."""
    program = require("pgbouncer")
    folder = tmp_path_factory.mktemp("pgbouncer")
    for parent in (folder, *folder.parents[:3]):
        parent.chmod(parent.stat().st_mode | 0o011)
    parts, [port] = urlsplit(dsn), free_ports(1)
    text = (HA / "pgbouncer.ini").read_text()
    for shipped, here in (
        ("postroom = host=127.0.0.1 port=5000", f"{parts.path[1:]} = host=127.0.0.1 port={parts.port}"),
        ("listen_port = 6432", f"listen_port = {port}"),
        ("/etc/pgbouncer", str(folder)),
        ("/var/log/postgresql", str(folder)),
        ("/var/run/postgresql", str(folder)),
    ):  # fmt: skip
        assert shipped in text
        text = text.replace(shipped, here)
    (folder / "pgbouncer.ini").write_text(text)
    (folder / "userlist.txt").write_text(f'"{parts.username}" "{parts.password}"\n')
    as_root = os.geteuid() == 0
    for each in (folder, *folder.iterdir()) if as_root else ():
        os.chown(each, NOBODY, NOBODY)
    process = subprocess.Popen(
        [program, "-q", str(folder / "pgbouncer.ini")],
        stdin=subprocess.DEVNULL, user=NOBODY if as_root else None,
    )  # fmt: skip
    try:
        assert wait_until(lambda: _listens(port), limit_s=20), "pgbouncer does not listen"
        yield parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{port}").geturl()
    finally:
        process.terminate()
        process.wait(20)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def test_pgbouncer_runs_with_its_file(pgbouncer: str) -> None:
    conn = await asyncpg.connect(pgbouncer, timeout=10, statement_cache_size=0)
    try:
        assert await conn.fetchval("select 1") == 1
    finally:
        await conn.close(timeout=10)


def assert_fits(given: dict[str, Any], fields: dict[str, Any], where: str) -> None:
    for name, value in given.items():
        assert name in fields, f"{where}.{name} is no field of CloudNativePG's"
        kind = fields[name]
        if isinstance(kind, dict):
            assert_fits(value, kind, f"{where}.{name}")
        else:
            assert isinstance(value, kind), f"{where}.{name}"


def test_the_cluster_of_cloudnativepg_has_fields_that_are_known() -> None:
    assert (CLUSTER["apiVersion"], CLUSTER["kind"]) == ("postgresql.cnpg.io/v1", "Cluster")
    assert_fits(CLUSTER["spec"], FIELDS, "spec")
    assert all(isinstance(value, str) for value in CLUSTER["spec"]["postgresql"]["parameters"].values())
    with pytest.raises(AssertionError, match=r"spec\.postgresql\.synchronous\.durability"):
        assert_fits({"postgresql": {"synchronous": {"durability": "required"}}}, FIELDS, "spec")


def test_the_cluster_of_cloudnativepg_loses_nothing_with_a_machine() -> None:
    spec = CLUSTER["spec"]
    assert spec["instances"] == 3
    assert spec["postgresql"]["synchronous"] == {
        "method": "any", "number": 1, "dataDurability": "required", "failoverQuorum": True,
    }  # fmt: skip
    assert spec["affinity"]["podAntiAffinityType"] == "required"
    known = tomllib.loads((DEPLOY / "versions.toml").read_text())
    assert spec["imageName"].rpartition(":")[2] == known["postgres"]["version"]


def test_kubernetes_folder_is_applied_without_it() -> None:
    """Or everybody without the operator would see an error."""
    kinds = [
        each["apiVersion"] for path in (DEPLOY / "kubernetes").glob("*.yaml") for each in documents(path)
    ]
    assert not [kind for kind in kinds if "cnpg" in kind]
