"""Python of the operator's own: the files and modules that POSTROOM_HANDLERS names."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Final

from postroom.base.errors import SettingsInvalid

SETTING: Final = "POSTROOM_HANDLERS"
MODULE: Final = "postroom_handlers"
"""What a file is called when it is imported, the second and later ones with a number."""


def load_code(places: Sequence[str]) -> list[ModuleType]:
    """Run each file, with its folder on the import path, and import each module.

    Errors: `SettingsInvalid` with the faults of all of them, each with file and line.
    """
    modules, faults = list[ModuleType](), list[str]()
    for number, place in enumerate(places, 1):
        try:
            modules.append(_run_file(Path(place), number) if is_file(place) else _import(place))
        except SettingsInvalid as error:
            faults += error.faults
    if faults:
        raise SettingsInvalid(faults)
    return modules


def is_file(place: str) -> bool:
    """Whether it names a file; otherwise it is the name of a module."""
    return place.endswith(".py") or "/" in place


def _run_file(path: Path, number: int) -> ModuleType:
    if not path.is_file():
        raise SettingsInvalid([f"{SETTING}: there is no file {path}"])
    name = MODULE if number == 1 else f"{MODULE}_{number}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise SettingsInvalid([f"{SETTING}: {path} is no Python file"])
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        # What lies beside the file can be imported, wherever the process was started.
        sys.path.insert(0, folder)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise SettingsInvalid([f"{error.filename}:{error.lineno}: {error.msg}"]) from error
    except (Exception, SystemExit) as error:
        raise SettingsInvalid([f"{path}:{_line(error, path)}: {type(error).__name__}: {error}"]) from error
    return module


@contextmanager
def operators_code(what: str) -> Iterator[None]:
    """Modules of the folder that one stands in can be imported. Errors: `SettingsInvalid`, which says of
    `what` why the code fails, with file and line."""
    if "" not in sys.path:
        sys.path.insert(0, "")  # as `python -m` has it
    try:
        yield
    except SettingsInvalid:  # it has said already where the fault is
        raise
    except SyntaxError as error:
        raise SettingsInvalid([f"{error.filename}:{error.lineno}: {error.msg}"]) from error
    except (Exception, SystemExit) as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = "" if last.filename.startswith("<") else f" ({last.filename}:{last.lineno})"
        raise SettingsInvalid([f"{what}: {type(error).__name__}: {error}{where}"]) from error


def _import(name: str) -> ModuleType:
    with operators_code(f"{SETTING}: {name}"):
        return importlib.import_module(name)


def _line(error: BaseException, path: Path) -> int:
    """The last line of the file that was running when it failed."""
    frames = traceback.extract_tb(error.__traceback__)
    return next((f.lineno or 1 for f in reversed(frames) if f.filename == str(path)), 1)
