"""`python -m postroom.dev.child MODULE ARGUMENT…`: runs a module that ends when its parent is gone.

The parent holds the other end of standard input. When that closes, this process sends itself SIGTERM, and
is gone `STOP_WITHIN_S` later whatever happens.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
import time
from typing import Final

STOP_WITHIN_S: Final = 28.0


def _follow_parent() -> None:
    while os.read(0, 64):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(STOP_WITHIN_S)
    os._exit(1)


def main() -> None:
    threading.Thread(target=_follow_parent, name="parent", daemon=True).start()
    module = sys.argv[1]
    del sys.argv[0]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
