"""A log file that cannot fill the disk."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, Final

SIZE_BYTES_MAX: Final = 5_000_000


class LogFile:
    """Appends; when it is full, it becomes `<name>.1` and a new one begins. So twice the limit at most."""

    def __init__(self, path: Path, *, size_bytes_max: int = SIZE_BYTES_MAX) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._size_bytes_max = size_bytes_max
        self._file: BinaryIO = path.open("ab")

    def write(self, content: bytes) -> None:
        self._file.write(content)
        self._file.flush()
        if self._file.tell() > self._size_bytes_max:
            self._file.close()
            self.path.replace(self.path.with_name(self.path.name + ".1"))
            self._file = self.path.open("ab")

    def close(self) -> None:
        self._file.close()


def tail(path: Path, lines: int = 15) -> str:
    """The last lines of a log, for a person."""
    content = path.read_bytes()[-20_000:].decode(errors="replace")
    return "\n".join(content.splitlines()[-lines:])
