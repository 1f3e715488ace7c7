"""A file system of a few megabytes for the exports, so that it can be full.

It is mounted in a mount namespace of the run's own, which ends with the run, however that ends.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

SIZE: Final = "24m"
INSIDE: Final = "POSTROOM_CHAOS_NAMESPACE"
TRY_WITHIN_S: Final = 20.0


def enter_namespace(module: str, arguments: Sequence[str]) -> str | None:
    """Become the same program in a mount namespace of its own, by exec.

    Returns: only when it cannot or need not be done; then why it cannot, or None inside.
    """
    if os.environ.get(INSIDE):
        return None
    unshare = shutil.which("unshare")
    if unshare is None:
        return "there is no unshare(1) here"
    options = ["--mount"] if os.geteuid() == 0 else ["--user", "--map-root-user", "--mount"]
    probe = [unshare, *options, "mount", "-t", "tmpfs", "-o", f"size={SIZE}", "chaos", "/mnt"]
    tried = subprocess.run(probe, capture_output=True, text=True, timeout=TRY_WITHIN_S, check=False)
    if tried.returncode:
        return f"no mount namespace may be made here: {tried.stderr.strip()}"
    os.environ[INSIDE] = "1"
    os.execv(unshare, [unshare, *options, sys.executable, "-m", module, *arguments])
    raise AssertionError("exec does not return")


def mount(folder: Path, *, size: str = SIZE) -> None:
    """Errors: `CalledProcessError`."""
    folder.mkdir(parents=True)
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "chaos", str(folder)],
        check=True,
        capture_output=True,
        timeout=TRY_WITHIN_S,
    )


def unmount(folder: Path) -> None:
    """Let go of it, so that the folder can be removed. Errors: `CalledProcessError`."""
    subprocess.run(["umount", "--lazy", str(folder)], check=True, capture_output=True, timeout=TRY_WITHIN_S)
