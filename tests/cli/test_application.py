"""The command as a whole: what it lists is what there is, and asking costs nobody the service."""

from __future__ import annotations

import inspect
import json
import pkgutil
import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

import pytest

from postroom import cli
from postroom.base.version import VERSION
from postroom.cli.application import COMMANDS, load

HEAVY = {
    *("aiohttp", "alembic", "asyncpg", "cryptography", "fastapi", "jinja2", "msgspec", "pydantic"),
    *("rich", "sqlalchemy", "starlette", "stripe", "structlog", "uvicorn"),
}
LIST_MODULES = """
import json, sys
from postroom.cli import main
try:
    main()
except SystemExit:
    pass
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})), file=sys.stderr)
"""


def ask(*arguments: str) -> tuple[str, set[str]]:
    """What the command prints, and the packages it imported for that."""
    done = subprocess.run(
        [sys.executable, "-c", LIST_MODULES, *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout, set(json.loads(done.stderr))


def modules() -> Sequence[ModuleType]:
    return [import_module(f"postroom.cli.{found.name}") for found in pkgutil.iter_modules(cli.__path__)]


@pytest.mark.parametrize("argument", ["--version", "--help"])
def test_asking_for_version_or_help_imports_nothing_of_the_service(argument: str) -> None:
    _, imported = ask(argument)
    assert "typer" in imported
    assert not imported & HEAVY


def test_it_prints_its_version_and_every_command() -> None:
    assert ask("--version")[0] == ask("version")[0] == f"{VERSION}\n"
    help_page = ask("--help")[0]
    assert all(f"\n  {name} " in help_page for name in (*COMMANDS, "version"))
    assert help_page.endswith("--demo\n")


@pytest.mark.parametrize("name", COMMANDS)
def test_what_is_listed_of_a_command_is_how_its_own_help_begins(name: str) -> None:
    command = load(name)
    assert command.name == name
    own = inspect.cleandoc(command.help).partition("\n\n")[0]
    assert " ".join(own.split()).removesuffix(" Without a command of its own: list them.") == COMMANDS[name]


def test_every_module_with_a_command_is_listed() -> None:
    found = {
        module.__name__.rpartition(".")[2].replace("_", "-")
        for module in modules()
        if hasattr(module, "group") or hasattr(module, "register")
    }
    assert found == set(COMMANDS)
