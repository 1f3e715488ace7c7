"""A child's log cannot fill the disk."""

from __future__ import annotations

from pathlib import Path

from postroom.dev.log_file import LogFile, tail


def test_it_never_takes_more_than_twice_its_limit(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "logs" / "api.log", size_bytes_max=1_000)
    for number in range(500):
        log.write(f"line {number}\n".encode())
    log.close()
    sizes = [path.stat().st_size for path in (tmp_path / "logs").iterdir()]
    assert len(sizes) == 2
    assert max(sizes) <= 1_010


def test_its_tail_is_what_was_written_last(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "api.log")
    log.write(b"one\ntwo\nthree\n")
    log.close()
    assert tail(log.path, lines=2) == "two\nthree"
