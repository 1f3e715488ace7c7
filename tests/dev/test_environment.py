"""Where the processes of `postroom up` listen, and the settings that they and a second terminal get."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from postroom.base.errors import Conflict
from postroom.base.listener import free_port
from postroom.base.settings import Settings
from postroom.dev.environment import absolute_paths, child_environment, open_listener
from postroom.dev.fake_services import open_fake_services


def test_the_port_is_ours_from_the_moment_it_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default is moved to a port that is free here; it stays a default, which nobody has named."""
    monkeypatch.setattr(Settings.model_fields["port"], "default", free_port())
    Settings.model_rebuild(force=True)
    try:
        with open_listener(Settings()) as first, open_listener(Settings()) as second:
            ports = first.getsockname()[1], second.getsockname()[1]
    finally:
        monkeypatch.undo()
        Settings.model_rebuild(force=True)
    assert ports[1] > ports[0]


def test_a_named_port_that_is_taken_is_refused() -> None:
    settings = Settings(port=free_port())
    with open_listener(settings), pytest.raises(Conflict, match=f"Port {settings.port} is taken"):
        open_listener(settings)


def path_settings(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        whole = f"{prefix}{name}".upper()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from path_settings(field.annotation, f"{whole}__")
        elif "Path" in str(field.annotation):
            yield whole


def test_every_path_is_absolute_for_who_stands_elsewhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    names = [*path_settings(Settings, "POSTROOM_")]
    assert "POSTROOM_EMAIL__TLS_CA" in names
    for name in names:
        monkeypatch.setenv(name, "here")
    assert absolute_paths(Settings()) == dict.fromkeys(names, str(tmp_path / "here"))


async def test_what_runs_here_is_not_said_by_a_file_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Both would be refused by every child."""
    for name, text in (("DATABASE_URL", "postgresql://elsewhere/app"), ("METRICS_TOKEN", "m" * 20)):
        (tmp_path / name).write_text(text)
        monkeypatch.setenv(f"POSTROOM_{name}_FILE", str(tmp_path / name))
    monkeypatch.setenv("POSTROOM_STRIPE__WEBHOOK_SECRETS_COMMAND", "echo ' '")
    async with open_fake_services(tmp_path) as fake_services:
        found = child_environment(
            Settings(), dsn="postgresql://here/app", port=1, secret="whsec_x", fake_services=fake_services
        )
    assert found["POSTROOM_DATABASE_URL"] == found["DATABASE_URL"] == "postgresql://here/app"
    assert "POSTROOM_DATABASE_URL_FILE" not in found
    assert found["POSTROOM_STRIPE__WEBHOOK_SECRETS"] == "whsec_x"
    assert "POSTROOM_STRIPE__WEBHOOK_SECRETS_COMMAND" not in found
    assert "POSTROOM_METRICS_TOKEN_FILE" in found
