"""The compose file and the Dockerfile, as far as they can be judged without a container engine."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
import yaml

from postroom.base.migrate import migrate
from postroom.base.settings import Settings
from postroom.postgres.server import LocalPostgres
from tests.deploy.files import DEPLOY, ROOT, assert_command_exists, documents, is_pinned

FOLDER = DEPLOY / "compose"
[COMPOSE] = documents(FOLDER / "compose.yaml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ["migrate", "api", "runner"]
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()


def instructions(name: str) -> list[str]:
    joined = DOCKERFILE.replace("\\\n", " ")
    return [line.removeprefix(f"{name} ") for line in joined.splitlines() if line.startswith(f"{name} ")]


def check_schema(path: Path) -> subprocess.CompletedProcess[str]:
    """Against the Compose Specification's own schema, which the program brings along."""
    return subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_file_fits_the_schema_of_compose() -> None:
    done = check_schema(FOLDER / "compose.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_schema_sees_a_wrong_field(tmp_path: Path) -> None:
    wrong = tmp_path / "compose.yaml"
    wrong.write_text((FOLDER / "compose.yaml").read_text().replace("depends_on:", "depend_on:", 1))
    assert check_schema(wrong).returncode == 1


def test_everything_is_there_and_every_image_is_pinned() -> None:
    assert set(SERVICES) == {"database", "logins", *OURS, "prometheus", "alertmanager", "grafana"}
    for name, service in SERVICES.items():
        assert is_pinned(service["image"]), name
    [python] = re.findall(r"^ARG PYTHON_IMAGE=(.+)$", DOCKERFILE, re.MULTILINE)
    assert is_pinned(python)
    assert not is_pinned("grafana/grafana:latest")
    assert not is_pinned("postgres")


@pytest.mark.parametrize("name", OURS)
def test_our_services_run_commands_that_exist_and_may_do_nothing_else(name: str) -> None:
    service = SERVICES[name]
    assert_command_exists(service["command"])
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]


@pytest.mark.parametrize("name", SERVICES)
def test_no_service_takes_all_of_the_machine(name: str) -> None:
    service = SERVICES[name]
    assert service["mem_limit"][-1] in "mg"
    assert 0 < service["pids_limit"] <= 512
    assert service.get("ulimits", {"nofile": 0})["nofile"] <= 65_536


def test_each_tier_has_a_network_and_the_database_has_no_way_out() -> None:
    on = {
        network: {n for n, s in SERVICES.items() if network in s["networks"]}
        for network in COMPOSE["networks"]
    }
    assert on == {
        "database": {"database", "migrate", "logins", "api", "runner"},
        "front": {"api"},
        "out": {"runner"},
        "monitoring": {"api", "prometheus", "alertmanager", "grafana"},
    }
    assert COMPOSE["networks"]["database"] == {"internal": True}


def test_each_process_gets_its_own_secrets_alone() -> None:
    secret = re.compile(r"METRICS_TOKEN|SECRET|KEY|PASSWORD")
    given = {n: {each for each in SERVICES[n]["environment"] if secret.search(each)} for n in OURS}
    assert given == {
        "migrate": set(),
        "api": {"POSTROOM_METRICS_TOKEN", "POSTROOM_STRIPE__WEBHOOK_SECRETS"},
        "runner": set(),
    }
    files = {n: [each["path"] for each in SERVICES[n].get("env_file", [])] for n in OURS}
    assert files == {"migrate": [], "api": ["more.env", "api.env"], "runner": ["more.env", "runner.env"]}
    for path in ("more.env", "api.env", "runner.env"):
        assert (FOLDER / f"{path}.example").exists()
        assert path in (FOLDER / ".gitignore").read_text().split()


def login_of(name: str) -> tuple[str, str]:
    """User, and the variable of the password."""
    url = SERVICES[name]["environment"]["POSTROOM_DATABASE_URL"]
    found = re.match(r"postgresql://(\w+):\$\{(\w+):", url)
    assert found is not None, url
    return found[1], found[2]


def test_what_stays_up_signs_in_as_itself_and_nobody_as_administrator() -> None:
    administrator = SERVICES["database"]["environment"]["POSTGRES_USER"]
    assert {name: login_of(name) for name in OURS} == {
        "migrate": (administrator, "DATABASE_PASSWORD"),
        "api": ("api", "API_DATABASE_PASSWORD"),
        "runner": ("runner", "RUNNER_DATABASE_PASSWORD"),
    }
    for name in ("api", "runner"):
        assert "logins" in SERVICES[name]["depends_on"]
    assert "POSTROOM_DATABASE_URL" not in COMPOSE["x-postroom"]["environment"]


def sign_in(dsn: str, user: str, password: str) -> int:
    with psycopg.connect(dsn, user=user, password=password) as conn:
        found = conn.execute("select count(*) from postroom.delivery").fetchone()
    return -1 if found is None else int(found[0])


@pytest.mark.needs("psql")
def test_the_logins_are_made_and_get_new_passwords(tmp_path: Path) -> None:
    """By a real psql, twice. Logins belong to a server, so this has one of its own."""
    with LocalPostgres(tmp_path, flavour="machine") as server:
        asyncio.run(migrate(server.dsn, roles=True))
        parts = urlsplit(server.dsn)
        environment = {
            "PATH": os.environ["PATH"],
            **{"PGHOST": str(parts.hostname), "PGPORT": str(parts.port), "PGDATABASE": parts.path[1:]},
            **{"PGUSER": str(parts.username), "PGPASSWORD": str(parts.password)},
        }
        command = " ".join(SERVICES["logins"]["command"]).replace("/logins.sql", str(FOLDER / "logins.sql"))
        for password in ("first", "second'one"):
            passwords = {"API_DATABASE_PASSWORD": password, "RUNNER_DATABASE_PASSWORD": password}
            done = subprocess.run(
                command.split(),
                env={**environment, **passwords},
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            assert [sign_in(server.dsn, user, password) for user in ("api", "runner")] == [0, 0]


def test_files_that_are_mounted_exist_and_volumes_are_declared() -> None:
    for name, service in SERVICES.items():
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            if source.startswith("."):
                assert (FOLDER / source).exists(), (name, source)
            else:
                assert source in COMPOSE["volumes"], (name, source)
        for needed in service.get("depends_on", {}):
            assert needed in SERVICES
        for secret in service.get("secrets", []):
            assert secret in COMPOSE["secrets"]


def test_every_variable_stands_in_the_example() -> None:
    needed = set(re.findall(r"\$\{([A-Z_]+)", (FOLDER / "compose.yaml").read_text()))
    needed |= {secret["environment"] for secret in COMPOSE["secrets"].values()}
    assert needed == set(re.findall(r"^([A-Z_]+)=", (FOLDER / "env.example").read_text(), re.MULTILINE))


def test_nothing_is_open_to_the_outside_and_the_ports_are_those_that_are_listened_on() -> None:
    for service in SERVICES.values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    port = Settings.model_fields["port"].default
    assert SERVICES["api"]["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert instructions("EXPOSE") == [str(port)]
    assert f"http://127.0.0.1:{port}/readyz?exclude=jobs" in SERVICES["api"]["healthcheck"]["test"][-1]


def test_prometheus_differs_from_the_shipped_configuration_in_addresses_only() -> None:
    ours = (FOLDER / "prometheus.yml").read_text()
    for name, address in (
        ("api:8000", "127.0.0.1:8000"),
        ("alertmanager:9093", "127.0.0.1:9093"),
        ("/run/secrets/metrics_token", "metrics_token"),
    ):
        assert ours.count(name) == 1
        ours = ours.replace(name, address)
    shipped = yaml.safe_load((ROOT / "monitoring" / "prometheus" / "prometheus.yml").read_text())
    assert yaml.safe_load(ours) == shipped
    assert set(COMPOSE["secrets"]) == {"metrics_token"}


def test_the_image_is_made_of_locked_parts_and_runs_as_nobody_special() -> None:
    assert instructions("USER") == ["10001:10001"]
    installs = [part for line in instructions("RUN") for part in line.split("&&") if " install " in part]
    packages = [part for part in installs if "pip install" in part]
    assert len(packages) == 3
    for line in packages:
        assert "--require-hashes" in line or "--no-deps /dist/*.whl" in line, line


def test_the_image_gets_all_that_the_wheel_is_made_of() -> None:
    copies = [line.split()[:-1] for line in instructions("COPY") if not line.startswith("--from")]
    copied = {source for sources in copies for source in sources}
    let_through = (DEPLOY / "Dockerfile.dockerignore").read_text().split()
    for source in copied:
        assert (ROOT / source).exists(), source
        assert {f"!{source}", f"!{source.split('/')[0]}"} & set(let_through), source
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert set(wheel["force-include"]) | set(wheel["packages"]) <= copied
