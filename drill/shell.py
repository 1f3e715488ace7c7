"""Runs a block of commands from a page, as a person at a shell would."""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

TIMEOUT_S: Final = 120.0
FINDS_SOMETHING: Final = "postroom doctor"


@dataclass(frozen=True, slots=True)
class Ran:
    """One block that ran. `exit_code` is None when it took too long."""

    block: str
    exit_code: int | None
    output: str

    @property
    def succeeded(self) -> bool:
        """The doctor's 1 says that it found something, which is what it was asked for."""
        found = self.exit_code == 1 and self.block.splitlines()[-1] == FINDS_SOMETHING
        return self.exit_code == 0 or found


async def run_block(block: str, *, environment: Mapping[str, str], timeout_s: float = TIMEOUT_S) -> Ran:
    """Stops at the first command that fails, as the page promises that none does."""
    process = await asyncio.create_subprocess_exec(
        *("bash", "-euo", "pipefail", "-c", block),
        env=dict(environment),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=PIPE,
        stderr=STDOUT,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(timeout_s):
            output, _ = await process.communicate()
    except TimeoutError:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        return Ran(block, None, f"took longer than {timeout_s:g} s")
    return Ran(block, process.returncode, output.decode(errors="replace"))
