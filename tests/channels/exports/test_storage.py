"""Which storage the settings name."""

from __future__ import annotations

from pathlib import Path

import pytest

from postroom.base.errors import SettingsInvalid
from postroom.base.export_settings import ExportSettings
from postroom.channels.exports.destinations import open_destinations
from postroom.channels.exports.storage import BucketStorage, open_storage


async def test_without_a_url_files_go_below_the_state_folder(tmp_path: Path) -> None:
    await open_destinations(ExportSettings(), tmp_path).put("a/b", b"x")
    assert (tmp_path / "exports" / "a" / "b").read_bytes() == b"x"


async def test_a_folder_with_a_blank_in_its_name_is_found(tmp_path: Path) -> None:
    storage = open_destinations(ExportSettings(url=f"file://{tmp_path}/my%20files"), tmp_path)
    await storage.put("a/b", b"x")
    assert (tmp_path / "my files" / "a" / "b").read_bytes() == b"x"


@pytest.mark.parametrize("url", ["s3://bucket/prefix", "gs://bucket/prefix"])
def test_a_bucket_is_opened_without_a_connection(url: str, tmp_path: Path) -> None:
    assert isinstance(open_storage(url, {}, tmp_path), BucketStorage)


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("memory:///", {}),
        ("ftp://host/x", {}),
        ("nonsense", {}),
        ("s3://", {}),
        ("file://host/x", {}),
        ("file:relative", {}),
        ("az://container/prefix", {}),
        ("s3://bucket", {"bogus": "1"}),
        ("s3://bucket", {"timeout": "forever"}),
        ("s3://bucket", {"aws_timeout": "forever"}),
        ("s3://bucket", {"default_headers": "a"}),
    ],
)
def test_what_can_never_work_is_refused_at_start(url: str, options: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="POSTROOM_EXPORTS__URL"):
        open_destinations(ExportSettings(url=url, options=options), tmp_path)
