"""The `postroom` command: one module a command or group of commands, listed in `application`."""

from __future__ import annotations

import sys
from typing import Final

from postroom.base.version import VERSION

WRONG_USE: Final = 2
EXTRAS: Final = {"aiosmtpd": "embedded"}
"""What an installation lacks whose command needs this module; all others come with `server`."""


def main() -> int:
    """Run the command. An installation without the service knows its version and says what is missing."""
    try:
        from postroom.cli.application import main as run_command

        return run_command()
    except ModuleNotFoundError as missing:
        module = (missing.name or "").partition(".")[0]
        if module == "postroom":
            raise
        if sys.argv[1:] in (["--version"], ["version"]):
            print(VERSION)
            return 0
        extra = EXTRAS.get(module, "server")
        print(f"{missing.msg}. It comes with: pip install 'postroom[{extra}]'", file=sys.stderr)
        return WRONG_USE
