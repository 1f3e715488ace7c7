"""deploy/ and docs/deployment.md name only settings that exist."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.deploy.files import DEPLOY, ROOT, SETTING, setting_names

FILES = [path for path in sorted(DEPLOY.rglob("*")) if path.is_file()] + [ROOT / "docs" / "deployment.md"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_setting_named_exists(path: Path) -> None:
    unknown = set(SETTING.findall(path.read_text())) - set(setting_names())
    assert not unknown


def test_the_settings_are_found() -> None:
    """Or the test above would pass for whatever is named."""
    assert {"POSTROOM_DATABASE_URL", "POSTROOM_EMAIL__FROM"} <= set(setting_names())
    named = {name for path in FILES for name in SETTING.findall(path.read_text())}
    assert {"POSTROOM_DATABASE_URL", "POSTROOM_METRICS_TOKEN", "POSTROOM_ENV"} <= named
