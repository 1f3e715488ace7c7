"""`python -m app.jobs.run [--job NAME] [--once]`: becomes `postroom work`, in this very process.

It is replaced rather than imported, so that a handlers file can import an `app` of its own.
"""

import os
import sys

if __name__ == "__main__":
    os.execv(sys.executable, [sys.executable, "-m", "postroom", "work", *sys.argv[1:]])  # noqa: S606
