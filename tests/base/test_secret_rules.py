"""Nothing starts in prod with a secret that is none, and nothing of dev is open to a network."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from pydantic import BaseModel

from postroom.base.errors import SettingsInvalid
from postroom.base.secret_rules import RULES, unverified_hosts
from postroom.base.settings import Settings, load_settings

ROOT: Final = Path(__file__).parents[2]
WHSEC: Final = "whsec_" + "s" * 32
PROD: Final = {
    "ENV": "prod",
    "DATABASE_URL": "postgresql://p:hidden-password@127.0.0.1/p",
    "METRICS_TOKEN": "m" * 16,
    "STRIPE__WEBHOOK_SECRETS": WHSEC,
    "STRIPE__LIVEMODE": "true",
}


def faults_of(monkeypatch: pytest.MonkeyPatch, **settings: str) -> list[str]:
    for name, value in settings.items():
        monkeypatch.setenv(f"POSTROOM_{name}", value)
    try:
        load_settings()
    except SettingsInvalid as refused:
        return list(refused.faults)
    return []


def secret_names(model: type[BaseModel] = Settings, prefix: str = "POSTROOM_") -> Iterator[str]:
    for name, field in model.model_fields.items():
        full = prefix + (field.alias or name).upper()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from secret_names(field.annotation, f"{full}__")
        elif "SecretStr" in str(field.annotation):
            yield full


def test_every_secret_of_the_settings_has_its_rule() -> None:
    assert set(RULES) == {*secret_names(), "POSTROOM_EXPORTS__OPTIONS"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("METRICS_TOKEN", ""),
        ("METRICS_TOKEN", "hunter2"),
        ("METRICS_TOKEN", "CHANGE-this-to-a-long-one"),
        ("DATABASE_URL", ""),
        ("DATABASE_URL", "postgresql://postroom:CHANGE@127.0.0.1/postroom"),
        ("DATABASE_URL", "postgresql://postroom:hunter2@127.0.0.1/postroom"),
        ("DATABASE_URL", "postgresql://postroom@127.0.0.1/postroom?password=CHANGE"),
        ("STRIPE__WEBHOOK_SECRETS", "CHANGE"),
        ("STRIPE__WEBHOOK_SECRETS", "whsec_" + "CHANGE" * 4),
        ("STRIPE__WEBHOOK_SECRETS", "whsec_…"),
        ("STRIPE__WEBHOOK_SECRETS", "whsec_hunter2"),
        ("STRIPE__WEBHOOK_SECRETS", f"{WHSEC},{'s' * 40}"),
        ("STRIPE__API_KEY", ""),
        ("STRIPE__API_KEY", "CHANGE-CHANGE-CHANGE-CHANGE"),
        ("EMAIL__URL", ""),
        ("EMAIL__URL", "smtp+starttls://user:CHANGE@smtp.example.com:587"),
        ("EXPORTS__OPTIONS", '{"region": "eu", "secret_access_key": "CHANGE"}'),
    ],
)
def test_prod_refuses_what_is_no_secret_and_says_how_to_get_one(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    [fault] = faults_of(monkeypatch, **{**PROD, name: value})
    assert fault.startswith(f"POSTROOM_{name}: ")
    assert fault.endswith(f"; {RULES[f'POSTROOM_{name}'].make}") or "; unset it, or " in fault
    assert not value or value not in fault


def test_an_empty_secret_of_stripe_turns_it_off_and_is_refused_where_it_is_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    off = {**PROD, "STRIPE__WEBHOOK_SECRETS": ""}
    assert faults_of(monkeypatch, **off) == []
    [fault] = faults_of(monkeypatch, **off, STRIPE__API_KEY="rk_live_" + "k" * 16)
    assert fault.startswith("POSTROOM_STRIPE__WEBHOOK_SECRETS: empty with POSTROOM_ENV=prod")


def test_oidc_needs_its_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    [fault] = faults_of(monkeypatch, **PROD, OIDC__ISSUER="https://login.example.com")
    assert fault.startswith("POSTROOM_OIDC__CLIENT_SECRET: needed")


def test_who_serves_nobody_needs_no_secret_of_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the runner and the migration can be left without them."""
    for name in ("ENV", "DATABASE_URL"):
        monkeypatch.setenv(f"POSTROOM_{name}", PROD[name])
    monkeypatch.setenv("POSTROOM_STRIPE__API_KEY", "rk_live_" + "k" * 16)
    monkeypatch.setenv("POSTROOM_ROUTES", "routes.toml")
    assert load_settings(serves=False).prod
    assert {fault.partition(":")[0] for fault in faults_of(monkeypatch)} == {
        "POSTROOM_METRICS_TOKEN",
        "POSTROOM_STRIPE__WEBHOOK_SECRETS",
    }
    monkeypatch.delenv("POSTROOM_DATABASE_URL")
    with pytest.raises(SettingsInvalid, match="POSTROOM_DATABASE_URL"):
        load_settings(serves=False)


def test_every_example_of_ours_is_refused_as_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    for example in sorted((ROOT / "deploy").rglob("*.example")):
        pairs = re.findall(r"^POSTROOM_(\w+)='?([^'\n]*CHANGE[^'\n]*)'?$", example.read_text(), re.MULTILINE)
        with monkeypatch.context() as alone:
            told = faults_of(alone, **{**PROD, **dict(pairs)})
        assert {fault.partition(":")[0] for fault in told} == {f"POSTROOM_{name}" for name, _ in pairs}


def test_all_are_told_beside_a_fault_of_another_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    told = faults_of(monkeypatch, **{**PROD, "PORT": "eighty", "METRICS_TOKEN": ""})
    assert [fault.partition(":")[0] for fault in told] == ["POSTROOM_PORT", "POSTROOM_METRICS_TOKEN"]


def test_dev_may_be_short_but_no_placeholder(monkeypatch: pytest.MonkeyPatch) -> None:
    assert faults_of(monkeypatch, METRICS_TOKEN="m", STRIPE__WEBHOOK_SECRETS="whsec_a") == []
    assert len(faults_of(monkeypatch, STRIPE__WEBHOOK_SECRETS="CHANGE")) == 1


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.1", "postroom.example.com"])
def test_dev_on_a_network_must_be_said_twice(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    [fault] = faults_of(monkeypatch, HOST=host)
    assert fault.startswith("POSTROOM_HOST: ")
    assert "POSTROOM_DEV_ON_NETWORK=true" in fault
    assert faults_of(monkeypatch, HOST=host, DEV_ON_NETWORK="true") == []


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_dev_on_this_machine_needs_nothing(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    assert faults_of(monkeypatch, HOST=host) == []


@pytest.mark.parametrize("sslmode", ["", "?sslmode=require", "?sslmode=verify-ca", "?sslmode=disable"])
def test_prod_verifies_a_database_that_is_not_local(monkeypatch: pytest.MonkeyPatch, sslmode: str) -> None:
    away = {**PROD, "DATABASE_URL": f"postgresql://p:hidden-password@db.example.com/p{sslmode}"}
    [fault] = faults_of(monkeypatch, **away)
    assert fault.startswith("POSTROOM_DATABASE_URL: db.example.com is not local")
    assert "hidden-password" not in fault
    assert faults_of(monkeypatch, **away, DATABASE_UNVERIFIED="true") == []


@pytest.mark.parametrize(
    ("rest", "hosts"),
    [
        ("db.example.com:5432/p?sslmode=verify-full", []),
        ("db1:5432,127.0.0.1,db2/p", ["db1", "db2"]),
        ("[::1]:5432/p", []),
        ("[2001:db8::1]:5432/p", ["2001:db8::1"]),
        ("%2Frun%2Fpostgresql/p", []),
        ("/p?host=/run/postgresql", []),
        ("/p?host=db1,db2", ["db1", "db2"]),
        ("/p", []),
    ],
)
def test_which_hosts_of_a_url_are_not_verified(
    monkeypatch: pytest.MonkeyPatch, rest: str, hosts: list[str]
) -> None:
    for name in ("PGHOST", "PGSSLMODE"):
        monkeypatch.delenv(name, raising=False)
    assert unverified_hosts(f"postgresql://p:w@{rest}") == hosts


def test_every_example_of_a_database_url_names_its_sslmode() -> None:
    told = re.compile(r"postgres(?:ql)?://[\w:${}?*. …-]*@[^\s`\"']+")
    pages = [ROOT / "README.md", *(ROOT / "deploy").rglob("*.*"), *(ROOT / "docs").rglob("*.md")]
    urls = [(page, url) for page in pages if page.is_file() for url in told.findall(page.read_text())]
    assert len(urls) >= 3, urls
    assert [each for each in urls if "sslmode=" not in each[1]] == []


def test_every_secret_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is a single text with commas stopped the start with an error of ours."""
    secrets = "one secret of the test,another of the test"
    for name in RULES:
        if name.startswith("POSTROOM_EMAIL__") and not RULES[name].in_url:
            monkeypatch.setenv(name, ",".join(f"{RULES[name].prefix}{each}" for each in secrets.split(",")))
    monkeypatch.setenv("POSTROOM_EMAIL__BOUNCES_ADDRESS", "bounces+*@mail.example.com")
    email = load_settings().email
    assert email.unsubscribe_secrets is not None
    assert email.unsubscribe_secrets.get_secret_value() == secrets
    monkeypatch.setenv("POSTROOM_EMAIL__UNSUBSCRIBE_SECRETS", "<change me>")
    assert faults_of(monkeypatch) != []
