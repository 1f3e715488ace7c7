"""Settings: one source, all faults at once, no secret in what is printed, and a page that lists them all."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel

from app.base.errors import SettingsInvalid
from app.base.settings import Settings, load_settings

PAGE = Path(__file__).resolve().parents[2] / "docs" / "settings.md"
SECRET = "postgresql://user:hunter2@host/db"


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ENV", "DATABASE_URL", "METRICS_TOKEN", "PORT", "TEST_FLAVOUR"):
        monkeypatch.delenv(f"POSTROOM_{name}", raising=False)


def test_several_secrets_stand_between_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTROOM_STRIPE__WEBHOOK_SECRETS", "whsec_one, whsec_two,")
    monkeypatch.setenv("POSTROOM_EMAIL__FROM", "a@example.com")
    settings = load_settings()
    assert [each.get_secret_value() for each in settings.stripe.webhook_secrets] == ["whsec_one", "whsec_two"]
    assert settings.email.sender == "a@example.com"


def test_all_faults_are_listed_at_once_and_no_value_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTROOM_PORT", "hunter2")
    monkeypatch.setenv("POSTROOM_EMAIL__TIMEOUT_S", "-3")
    monkeypatch.setenv("POSTROOM_ENV", "staging")
    with pytest.raises(SettingsInvalid) as refused:
        load_settings()
    text = "\n".join(refused.value.faults)
    for name in ("POSTROOM_PORT", "POSTROOM_EMAIL__TIMEOUT_S", "POSTROOM_ENV"):
        assert name in text
    assert "hunter2" not in text


def test_prod_names_everything_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTROOM_ENV", "prod")
    monkeypatch.setenv("POSTROOM_STRIPE__API_KEY", "rk_live_x")
    with pytest.raises(SettingsInvalid) as refused:
        load_settings()
    [fault] = refused.value.faults
    for name in ("POSTROOM_DATABASE_URL", "POSTROOM_METRICS_TOKEN", "POSTROOM_STRIPE__WEBHOOK_SECRETS"):
        assert name in fault


def test_secrets_are_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTROOM_DATABASE_URL", SECRET)
    monkeypatch.setenv("POSTROOM_EMAIL__URL", "smtp://user:hunter2@host")
    settings = load_settings()
    assert "hunter2" not in repr(settings) + str(settings.model_dump())


def test_the_page_lists_every_setting() -> None:
    page = PAGE.read_text()
    for name, field in Settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            assert f"POSTROOM_{name.upper()}__" in page, name
            for inner, inner_field in field.annotation.model_fields.items():
                assert f"`{(inner_field.alias or inner).upper()}`" in page, f"{name}.{inner}"
        else:
            assert f"POSTROOM_{name.upper()}`" in page, name
