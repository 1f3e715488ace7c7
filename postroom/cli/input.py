"""What a command is given: a file, or standard input."""

from __future__ import annotations

import sys
from pathlib import Path

from postroom.base.errors import InvalidInput


def read_input(name: str) -> bytes:
    """`-` is standard input. Errors: `InvalidInput`."""
    try:
        return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise InvalidInput(f"{name} cannot be read: {error.strerror}") from None
