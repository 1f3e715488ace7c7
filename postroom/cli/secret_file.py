"""A file that holds the secrets of one setting, comma-separated, as `…_FILE` names it."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from postroom.base.errors import InvalidInput
from postroom.base.setting_files import BYTES_MAX

_OTHERS: Final = stat.S_IRWXO


class SecretFile:
    """Promise: what it holds already stays; a secret that `add` took is on the disk."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def add(self, secret: SecretStr) -> None:
        """Errors: `OSError`."""
        held = os.pread(self._fd, BYTES_MAX, 0).rstrip()
        more = (b"," if held else b"") + secret.get_secret_value().encode() + b"\n"
        os.pwrite(self._fd, more, len(held))
        os.fsync(self._fd)


@contextmanager
def open_secret_file(path: Path) -> Iterator[SecretFile]:
    """Made with mode 0600 if there is none, and only if something is added. One that is there keeps its
    owner and group; nobody else may read it from then on.

    Errors: `InvalidInput`, before anything was changed.
    """
    there = path.exists()
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {error.strerror}", field="--write") from None
    try:
        mode = os.fstat(fd).st_mode
        if not stat.S_ISREG(mode):
            raise InvalidInput(f"{path} is no file", field="--write")
        fcntl.flock(fd, fcntl.LOCK_EX)
        if mode & _OTHERS:
            os.fchmod(fd, stat.S_IMODE(mode) & ~_OTHERS)
        yield SecretFile(fd)
    finally:
        if not there and os.fstat(fd).st_size == 0:
            path.unlink(missing_ok=True)
        os.close(fd)
