"""Values that commands print: for secrets that another program keeps."""

from __future__ import annotations

import os
import select
import shlex
import signal
from collections.abc import Mapping
from subprocess import DEVNULL, PIPE, Popen, TimeoutExpired
from time import monotonic
from typing import Final

COMMAND_S: Final = 10.0


class NoValue(Exception):
    """Why a setting has none. Never holds what was read or printed."""


def run_command(line: str, *, environment: Mapping[str, str], bytes_max: int) -> bytes:
    """Run a program, without a shell, and return what it prints: `bytes_max` and one at most.

    Promise: after `COMMAND_S` it is killed, with what it has started. It gets no input, and what it writes to
    its standard error is thrown away, for that may hold the secret. Blocks. Errors: `NoValue`.
    """
    try:
        process = Popen(  # noqa: S603  whoever sets our environment says what runs
            shlex.split(line), env=environment, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL,
            start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise NoValue(f"cannot be started: {error.strerror}") from None
    except (ValueError, IndexError):
        raise NoValue("is no command line") from None
    with process:
        try:
            return _printed(process, bytes_max)
        except TimeoutExpired:
            raise NoValue(f"did not end within {COMMAND_S:g} s") from None
        finally:
            if process.returncode is None:  # nobody has waited for it: its number is nobody else's
                os.killpg(process.pid, signal.SIGKILL)


def _printed(process: Popen[bytes], bytes_max: int) -> bytes:
    """Errors: `NoValue`, `TimeoutExpired`."""
    assert process.stdout is not None  # noqa: S101 - tells mypy what Popen was asked for
    pipe, printed, until_s = process.stdout.fileno(), b"", monotonic() + COMMAND_S
    waiting = select.poll()
    waiting.register(pipe, select.POLLIN)
    while len(printed) <= bytes_max:
        if not waiting.poll(max(0.0, until_s - monotonic()) * 1_000):
            raise TimeoutExpired(process.args, COMMAND_S)
        part = os.read(pipe, bytes_max + 1 - len(printed))
        printed += part
        if not part:
            break
    else:
        return printed
    if code := process.wait(max(0.0, until_s - monotonic())):
        raise NoValue(f"ended with exit code {code}")
    if not printed.strip():
        raise NoValue("printed nothing")
    return printed
