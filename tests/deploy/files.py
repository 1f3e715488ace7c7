"""What stands in deploy/, and what it may name."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import BaseModel

from postroom.base.settings import Settings

ROOT: Final = Path(__file__).parents[2]
DEPLOY: Final = ROOT / "deploy"
SETTING: Final = re.compile(r"\bPOSTROOM_[A-Z][A-Z_]*")
_PINNED: Final = re.compile(r"[a-z0-9./:-]+:v?\d+\.\d+(\.\d+)?(-[a-z0-9]+)*(@sha256:[0-9a-f]{64})?")


def documents(path: Path) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def setting_names(model: type[BaseModel] = Settings, prefix: str = "POSTROOM_") -> Iterator[str]:
    """Every name that the settings can be given by."""
    for name, field in model.model_fields.items():
        full = prefix + (field.alias or name).upper()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from setting_names(field.annotation, f"{full}__")
        else:
            yield full


def is_pinned(image: str) -> bool:
    """A version of its own, not one that moves; a digest may stand behind it."""
    return _PINNED.fullmatch(image) is not None


def assert_command_exists(words: Sequence[str]) -> None:
    """The command line is one that our programs know, its options too."""
    program = Path(words[0]).name
    assert program in ("postroom", "python"), words
    module = ["-m", "postroom"] if program == "postroom" else []
    command = takewhile(lambda word: not word.startswith("--"), words[1:])
    told = _help(*module, *command)
    for option in (word for word in words if word.startswith("--")):
        assert re.search(rf"{re.escape(option)}(?![\w-])", told), f"{words}: no option {option}"


@cache
def _help(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments, "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, f"{arguments}: {done.stderr}"
    return done.stdout
