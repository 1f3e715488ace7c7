"""Secrets from files: of `…_FILE`, of systemd's credentials, and what is wrong with them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from postroom.base.errors import SettingsInvalid
from postroom.base.secret_rules import RULES
from postroom.base.setting_files import BYTES_MAX, read_files
from postroom.base.settings import load_settings
from postroom.encryption.keyring import keyring_of, new_key
from postroom.health.setting_names import unknown_names

TOKEN = "0123456789abcdef0123456789abcdef"


def put(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def test_every_secret_may_stand_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {
        "POSTROOM_DATABASE_URL": "postgresql://app:secret@localhost/app",
        "POSTROOM_METRICS_TOKEN": TOKEN,
        "POSTROOM_STRIPE__WEBHOOK_SECRETS": f"whsec_{TOKEN},whsec_{TOKEN[::-1]}",
        "POSTROOM_STRIPE__API_KEY": f"rk_test_{TOKEN}",
        "POSTROOM_EMAIL__URL": "smtps://user:password@mail.example.com",
        "POSTROOM_EMAIL__UNSUBSCRIBE_SECRETS": TOKEN,
        "POSTROOM_EMAIL__EVENTS_SENDGRID_KEYS": TOKEN,
        "POSTROOM_EMAIL__EVENTS_MAILGUN_KEYS": TOKEN,
        "POSTROOM_EMAIL__EVENTS_POSTMARK_LOGINS": f"user:{TOKEN}",
        "POSTROOM_EMAIL__EVENTS_RESEND_SECRETS": f"whsec_{TOKEN}",
        "POSTROOM_EMAIL__EVENTS_BREVO_LOGINS": f"user:{TOKEN}",
        "POSTROOM_EMAIL__BOUNCES_SECRETS": TOKEN,
        "POSTROOM_EMAIL__BOUNCES_URL": "imaps://user:password@mail.example.com",
        "POSTROOM_ENCRYPTION__KEYS": f"{new_key('b')},{new_key('a')}",
        "POSTROOM_EXPORTS__OPTIONS": '{"secret_access_key": "hunter2"}',
        "POSTROOM_EXPORTS__DESTINATIONS__ACME__OPTIONS": f'{{"secret_access_key": "{TOKEN}"}}',
        "POSTROOM_OIDC__CLIENT_SECRET": TOKEN,
        "POSTROOM_STRIPE__ACCOUNTS__EU__API_KEY": f"rk_test_eu{TOKEN}",
    }
    assert RULES.keys() < texts.keys()
    monkeypatch.setenv("POSTROOM_EMAIL__BOUNCES_ADDRESS", "bounces+*@mail.example.com")
    monkeypatch.setenv("POSTROOM_EXPORTS__DESTINATIONS__ACME__URL", "s3://acme")
    monkeypatch.setenv("POSTROOM_EXPORTS__DESTINATIONS__ACME__DATASETS", '["orders"]')
    for name, text in texts.items():
        monkeypatch.setenv(f"{name}_FILE", put(tmp_path, name, f"{text}\n"))
    settings = load_settings()
    assert settings.database_url is not None
    assert settings.database_url.get_secret_value() == texts["POSTROOM_DATABASE_URL"]
    assert settings.metrics_token is not None
    assert settings.metrics_token.get_secret_value() == TOKEN
    assert len(settings.stripe.webhook_secrets) == 2
    assert settings.email.unsubscribe_secrets is not None
    assert settings.email.unsubscribe_secrets.get_secret_value() == TOKEN
    assert settings.email.url is not None
    assert settings.email.url.get_secret_value() == texts["POSTROOM_EMAIL__URL"]
    assert keyring_of(settings.encryption).names == ("b", "a")
    assert settings.exports.options == {"secret_access_key": "hunter2"}
    assert settings.exports.destinations["acme"].options["secret_access_key"].get_secret_value() == TOKEN
    assert settings.oidc.client_secret.get_secret_value() == TOKEN
    assert settings.stripe.accounts["eu"].api_key is not None
    assert unknown_names(os.environ) == {}


def test_credentials_of_systemd_are_read_and_the_environment_goes_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    put(tmp_path, "postroom_metrics_token", TOKEN)
    put(tmp_path, "POSTROOM_EMAIL__URL", "smtps://user:password@mail.example.com")
    put(tmp_path, "somebody.else", "x")
    monkeypatch.setenv("POSTROOM_EMAIL__URL", "smtp://127.0.0.1")
    settings = load_settings()
    assert settings.metrics_token is not None
    assert settings.metrics_token.get_secret_value() == TOKEN
    assert settings.email.url is not None
    assert settings.email.url.get_secret_value() == "smtp://127.0.0.1"


def test_all_faults_are_told_at_once_and_none_holds_a_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTROOM_METRICS_TOKEN", "hunter2hunter2hunter2")
    monkeypatch.setenv("POSTROOM_METRICS_TOKEN_FILE", put(tmp_path, "twice", "hunter2"))
    monkeypatch.setenv("POSTROOM_EMAIL__URL_FILE", str(tmp_path / "missing"))
    monkeypatch.setenv("POSTROOM_STRIPE__API_KEY_FILE", put(tmp_path, "long", "hunter2" * BYTES_MAX))
    monkeypatch.setenv("POSTROOM_ENCRYPTION__KEYS_FILE", put(tmp_path, "keys", "hunter2"))
    monkeypatch.setenv("POSTROOM_PORT", "many")
    with pytest.raises(SettingsInvalid) as refused:
        load_settings()
    text = str(refused.value)
    for told in (
        "POSTROOM_METRICS_TOKEN: set, and POSTROOM_METRICS_TOKEN_FILE is set, too",
        "POSTROOM_EMAIL__URL_FILE: ",
        "No such file",
        "POSTROOM_STRIPE__API_KEY_FILE: ",
        "longer than 64 KiB",
        "POSTROOM_ENCRYPTION__KEYS: ",
        "POSTROOM_PORT: ",
    ):
        assert told in text
    assert "hunter2" not in text


def test_a_file_that_cannot_be_read_is_a_fault_even_where_nothing_needs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTROOM_OIDC__CLIENT_SECRET_FILE", str(tmp_path))
    with pytest.raises(SettingsInvalid, match="POSTROOM_OIDC__CLIENT_SECRET_FILE"):
        load_settings()
    assert read_files({"POSTROOM_PORT": "1"}) == ({}, ())


def test_a_mail_route_is_named_by_its_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "smtps://user:password@ses.example.com"
    monkeypatch.setenv("POSTROOM_EMAIL__ROUTES__SES__URL_FILE", put(tmp_path, "url", f"{url}\n"))
    monkeypatch.setenv("POSTROOM_EMAIL__ROUTES__SES__WEIGHT", "3")
    monkeypatch.setenv("POSTROOM_EMAIL__ROUTES__ACME__URL", "smtp://127.0.0.1")
    monkeypatch.setenv("POSTROOM_EMAIL__ROUTES__ACME__TENANTS", '["acme"]')
    routes = load_settings().email.all_routes()
    assert (routes["ses"].url.get_secret_value(), routes["ses"].weight) == (url, 3.0)
    assert routes["acme"].tenants == {"acme"}
    assert unknown_names(os.environ) == {}
