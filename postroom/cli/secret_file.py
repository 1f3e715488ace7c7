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
        status = _lock(fd, path)
        if status.st_mode & _OTHERS:
            os.fchmod(fd, stat.S_IMODE(status.st_mode) & ~_OTHERS)
        try:
            yield SecretFile(fd)
        finally:
            if not there and os.fstat(fd).st_size == 0:
                path.unlink(missing_ok=True)
    finally:
        os.close(fd)


def _lock(fd: int, path: Path) -> os.stat_result:
    """For this command alone: whoever made the file removes it again if it stays empty, so a second command
    could add its secret to a file that has no name any more. Errors: `InvalidInput`."""
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        raise InvalidInput(f"{path} is no file", field="--write")
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InvalidInput(
            f"{path} is in use by another command; wait until it ends", field="--write"
        ) from None
    status = os.fstat(fd)
    if status.st_nlink == 0:
        raise InvalidInput(f"{path} was removed meanwhile; run it again", field="--write")
    return status
