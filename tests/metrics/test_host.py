"""What a process sees of its machine: disks and certificates, and what it does not see."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from drill.certificate import write_certificate
from postroom.base.email_settings import EmailSettings
from postroom.base.export_settings import ExportSettings
from postroom.base.settings import Settings
from postroom.metrics.host import CACHE_S, HostReader, expiry_days, free_ratio, volumes
from tests.fixtures.clock import DrivenClock


def values(families: object, name: str) -> Mapping[str, float]:
    """Samples of one family by the value of their only label."""
    assert isinstance(families, list)
    [family] = [each for each in families if each.name == name]
    return {next(iter(sample.labels.values())): sample.value for sample in family.samples}


def in_days(days: float) -> datetime:
    return datetime.now(UTC) + timedelta(days=days)


def test_a_folder_that_is_not_there_yet_is_on_its_parents_volume(tmp_path: Path) -> None:
    there, not_yet = free_ratio(tmp_path), free_ratio(tmp_path / "a" / "b")
    assert there is not None
    assert not_yet == pytest.approx(there, abs=0.01)
    assert 0 <= there <= 1


def test_exports_in_a_bucket_have_no_volume_here(tmp_path: Path) -> None:
    assert set(volumes(Settings(state_dir=tmp_path, exports=ExportSettings(url="s3://bucket")))) == {"state"}
    local = Settings(state_dir=tmp_path, exports=ExportSettings(url=(tmp_path / "x y").as_uri()))
    assert volumes(local) == {"state": tmp_path, "exports": tmp_path / "x y"}


def test_the_first_certificate_to_end_counts(tmp_path: Path) -> None:
    late, soon, both = tmp_path / "late.pem", tmp_path / "soon.pem", tmp_path / "both.pem"
    write_certificate(late, ends_at=in_days(300))
    write_certificate(soon, ends_at=in_days(5))
    both.write_bytes(late.read_bytes() + soon.read_bytes())
    assert expiry_days(late) == pytest.approx(300, abs=0.1)
    assert expiry_days(both) == pytest.approx(5, abs=0.1)


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_a_file_without_a_certificate_has_no_days(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "some.pem"
    if content is not None:
        path.write_bytes(content)
    assert expiry_days(path) is None


async def test_the_databases_volume_is_remembered_while_the_database_is_away(tmp_path: Path) -> None:
    clock = DrivenClock()
    reader = HostReader(settings=Settings(state_dir=tmp_path), clock=clock)
    assert set(values(await reader.read(None), "postroom_disk_free_ratio")) == {"state"}
    clock.advance(CACHE_S)
    assert set(values(await reader.read(str(tmp_path)), "postroom_disk_free_ratio")) == {"state", "database"}
    clock.advance(CACHE_S)
    assert set(values(await reader.read(None), "postroom_disk_free_ratio")) == {"state", "database"}


async def test_a_certificate_that_is_replaced_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    write_certificate(path, ends_at=in_days(3))
    clock = DrivenClock()
    settings = Settings(state_dir=tmp_path, email=EmailSettings(tls_ca=path))
    reader = HostReader(settings=settings, clock=clock)
    assert values(await reader.read(None), "postroom_certificate_expiry_days")["email_ca"] < 4
    write_certificate(path, ends_at=in_days(90))
    clock.advance(CACHE_S)
    assert values(await reader.read(None), "postroom_certificate_expiry_days")["email_ca"] > 80
