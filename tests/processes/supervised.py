"""A supervisor of two small processes: `python -m tests.processes.supervised FOLDER PAUSE_S,… HANGS_S`.

Each of them is this module with the word `child`; files in the folder say how it behaves.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

from postroom.base.log import configure_logging
from postroom.base.notify import notify, watchdog
from postroom.cli.supervisor import Supervisor

STOP_WITHIN_S = 0.5


async def child(folder: Path) -> None:
    """Notes its start. `exits`: ends at once with that code; `stubborn`: no signal ends it; `hangs`."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN if (folder / "stubborn").exists() else signal.SIG_DFL)
    with (folder / "starts").open("a") as starts:
        starts.write(f"{time.time()} {os.getpid()}\n")
    if (folder / "exits").exists():
        sys.exit(int((folder / "exits").read_text()))
    async with watchdog():
        notify(READY="1")
        if (folder / "hangs").exists():
            time.sleep(60)  # noqa: ASYNC251  what a loop does that hangs
        await asyncio.sleep(60)


def main() -> int:
    folder = Path(sys.argv[1])
    if sys.argv[-1] == "child":
        asyncio.run(child(folder))
    configure_logging(json_lines=True)
    command = (sys.executable, "-m", "tests.processes.supervised", str(folder), "child")
    made = Supervisor(
        "children",
        2,
        command=lambda _: command,
        environment={},
        stop_within_s=STOP_WITHIN_S,
        pauses_s=[float(each) for each in sys.argv[2].split(",")],
        hangs_s=float(sys.argv[3]),
    )
    return asyncio.run(made.run())


if __name__ == "__main__":
    sys.exit(main())
