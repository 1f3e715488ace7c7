"""The `postroom` command: one module a group of commands, registered in `application`."""

from postroom.cli.application import main as main
