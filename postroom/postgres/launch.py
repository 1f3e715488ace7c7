"""The small process between us and PostgreSQL: it makes the data folder, starts the server, ends it.

Promise: the server is shut down cleanly when the parent says so, dies (also by SIGKILL), or when this
process itself dies. Does not promise: survival of data on a disk that lies about fsync.

Why a process: PR_SET_PDEATHSIG fires when the *thread* that forked dies, so a server started from a
worker thread would stop with that thread. This process has one thread. It watches its parent by a held
pipe and a pidfd; the server watches this process by PR_SET_PDEATHSIG.

It runs on the standard library alone (`python -I -S`), to start in milliseconds and to need nothing of
the application; so it, and what it imports, must import nothing else.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from pathlib import Path

from postroom.postgres.cluster import Cluster, LaunchFailed, Spec
from postroom.postgres.identity import NoIdentity, become
from postroom.postgres.watch import StopAsked, Watch


def report(**fields: object) -> None:
    """One JSON line to the parent; it may be gone already, which the watch will tell."""
    with suppress(BrokenPipeError):
        sys.stdout.write(json.dumps(fields) + "\n")
        sys.stdout.flush()


def main(argument: str) -> int:
    """Run one server as the JSON of a `Spec` says; exit status 0 after an orderly end."""
    spec = Spec(**json.loads(argument))
    home = Path(spec.home)
    os.umask(0o077)
    try:
        watch = Watch(spec.parent_pid)
        password = (home / "password").read_text()
        become(spec.identity, home=home, bin_dir=Path(spec.bin_dir))
        cluster = Cluster(spec, watch)
        cluster.make_data(password)
        cluster.run(lambda pid, socket_dir: report(event="ready", pid=pid, socket_dir=socket_dir))
    except StopAsked:
        return 0
    except (LaunchFailed, NoIdentity, OSError) as error:
        report(event="failed", reason=str(error))
        return 1
    return 0
