"""The command `postroom` with seconds where a runner that hangs is left a minute.

`python -m tests.processes.hasty_runner work`
"""

from __future__ import annotations

import sys

from postroom.cli import main
from postroom.worker import heartbeat

BLOCKED_MAX_S = 2.0

if __name__ == "__main__":
    for name, value in {"BLOCKED_MAX_S": BLOCKED_MAX_S, "BEAT_S": 0.2, "GRACE_S": 0.0}.items():
        setattr(heartbeat, name, value)
    sys.exit(main())
