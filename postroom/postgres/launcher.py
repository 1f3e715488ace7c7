"""Our end of the launcher process: start it, hear it once, stop it."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from postroom.postgres.cluster import QUIT_S, Spec

BOOT = """
import sys
sys.path.append(sys.argv[1])
from postroom.postgres.launch import main
sys.exit(main(sys.argv[2]))
"""
IMPORT_ROOT = Path(__file__).resolve().parents[2]


class Launcher:
    """A running `launch.py`; it stops the server when told, or when this process is gone."""

    def __init__(self, spec: Spec) -> None:
        self._report_s = 3 * spec.start_s + QUIT_S  # initdb, the database, the server: each has its limit
        self._stop_s = spec.stop_s + 2 * QUIT_S
        self._process = subprocess.Popen(  # noqa: S603 - our own module, no shell
            [sys.executable, "-I", "-S", "-B", "-c", BOOT, str(IMPORT_ROOT), json.dumps(asdict(spec))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=(spec.lock_fd,),
            start_new_session=True,  # Ctrl-C is for us; the server ends when its users are done
        )  # fmt: skip

    def is_alive(self) -> bool:
        """Whether it, and so the server, still runs."""
        return self._process.poll() is None

    def read_report(self) -> dict[str, Any]:
        """Its one line: `event` is "ready" with `pid` and `socket_dir`, or "failed" with `reason`."""
        assert self._process.stdout is not None  # noqa: S101 - tells mypy what Popen was asked for
        ready, _, _ = select.select([self._process.stdout], [], [], self._report_s)
        if not ready:
            return {"event": "failed", "reason": f"no word from the launcher within {self._report_s:.0f} s"}
        line = self._process.stdout.readline()
        if not line:
            return {"event": "failed", "reason": "the launcher ended without a word"}
        report: dict[str, Any] = json.loads(line)
        return report

    def stop(self) -> None:
        """Returns when the server is down; ends only our own child."""
        process = self._process
        if process.stdin:
            # A forked child of ours may still hold this end of the pipe, so closing it is not enough.
            with suppress(BrokenPipeError):
                process.stdin.write(b"stop\n")
                process.stdin.flush()
            with suppress(BrokenPipeError):
                process.stdin.close()
        try:
            process.wait(self._stop_s)
        except subprocess.TimeoutExpired:
            process.kill()  # the server follows by its parent-death signal
            process.wait(QUIT_S)
        if process.stdout:
            process.stdout.close()
