"""A file in a folder is on the disk before it is visible, and its folders before it counts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from postroom.channels.exports.failures import answer_failure
from postroom.channels.exports.folder import STAGING, STAGING_MAX_S, FolderStorage, sync_to_disk
from postroom.outbox.model import Cause

PATH = "invoices/dt=2026-01-31/file.ndjson.gz"


def files_below(root: Path) -> list[str]:
    return [str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()]


async def test_the_file_is_synced_before_its_name_and_the_folders_after(tmp_path: Path) -> None:
    root = tmp_path / "state" / "exports"
    synced: list[tuple[str, bool]] = []

    def sync(path: Path) -> None:
        sync_to_disk(path)
        synced.append((str(path.relative_to(tmp_path)), (root / PATH).exists()))

    storage = FolderStorage(root, sync=sync)
    await storage.put(PATH, b"content")

    made, [(staged, visible), *folders] = synced[:3], synced[3:]
    assert made == [(".", False), ("state", False), ("state/exports", False)]
    assert staged.startswith(f"state/exports/{STAGING}/")
    assert not visible
    assert folders == [
        ("state/exports/invoices/dt=2026-01-31", True),
        ("state/exports/invoices", True),
        ("state/exports", True),
    ]
    assert (root / PATH).read_bytes() == b"content"


async def test_what_cannot_be_synced_is_never_visible_and_leaves_nothing(tmp_path: Path) -> None:
    def sync(path: Path) -> None:
        if path.parent.name == STAGING:
            raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        await FolderStorage(tmp_path, sync=sync).put(PATH, b"content")
    assert not (tmp_path / PATH).exists()
    assert list((tmp_path / STAGING).iterdir()) == []


async def test_a_repeat_overwrites_itself(tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path)
    await storage.put(PATH, b"first")
    await storage.put(PATH, b"second")
    assert (tmp_path / PATH).read_bytes() == b"second"
    assert files_below(tmp_path) == [PATH]


async def test_leftovers_of_killed_writers_are_removed_and_those_at_work_are_not(tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path)
    await storage.put(PATH, b"content")
    old, fresh = tmp_path / STAGING / "old", tmp_path / STAGING / "fresh"
    old.write_bytes(b"")
    fresh.write_bytes(b"")
    long_ago = fresh.stat().st_mtime - STAGING_MAX_S - 60
    os.utime(old, (long_ago, long_ago))
    await storage.put(PATH, b"content")
    assert [fresh] == list((tmp_path / STAGING).iterdir())


async def test_a_file_where_the_folder_should_be_is_our_fault(tmp_path: Path) -> None:
    (tmp_path / "exports").write_text("in the way")
    with pytest.raises(OSError) as failed:  # noqa: PT011
        await FolderStorage(tmp_path / "exports").put(PATH, b"content")
    assert answer_failure(failed.value).cause is Cause.OURS


async def test_the_folder_is_for_its_owner_only(tmp_path: Path) -> None:
    await FolderStorage(tmp_path / "exports").put(PATH, b"content")
    assert (tmp_path / "exports").stat().st_mode & 0o777 == 0o700
