"""One state of a template: all that it is rendered from, read at one moment and named by a hash."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Final

import msgspec
from jinja2 import (
    Environment,
    FileSystemLoader,
    FunctionLoader,
    StrictUndefined,
    TemplateNotFound,
    TemplateSyntaxError,
)
from jinja2.meta import find_referenced_templates

from postroom.base.sandbox import Sandbox
from postroom.channels.email import filters
from postroom.channels.email.bill import bill

PLACE: Final = "<template> "
"""How the name of a template's file begins in a traceback."""
FILES_CHARACTERS_MAX: Final = 1_000_000

Stamp = tuple[str, int, int] | None
"""Where a file is, when it was changed and its size; None where it is in no folder."""


class FilesTooLarge(Exception):
    """A template includes more than is kept of one."""


class TemplateVersion:
    """`files`: the template's own and what they include, by name. Rendering reads nothing else.

    `stamps`: how each of them was found, and each that was looked for in vain.
    """

    def __init__(self, files: Mapping[str, str], stamps: Mapping[str, Stamp] | None = None) -> None:
        self.files = files
        self._stamps = stamps or {}

    def is_as_read(self, folders: Sequence[str]) -> bool:
        """Whether the files on disk are those that were read."""
        return all(_stamp(folders, file) == stamp for file, stamp in self._stamps.items())

    @cached_property
    def hash(self) -> bytes:
        return hash_of(self.files)

    @cached_property
    def text(self) -> Sandbox:
        return self._environment(escape=False)

    @cached_property
    def html(self) -> Sandbox:
        """What decides is where a file is put, not its name: a text that HTML includes is escaped there."""
        return self._environment(escape=True)

    def _environment(self, *, escape: bool) -> Sandbox:
        jinja = Sandbox(
            loader=FunctionLoader(self._source),
            undefined=StrictUndefined,
            autoescape=escape,
            trim_blocks=True,
            lstrip_blocks=True,
            cache_size=200,
            auto_reload=False,
        )
        jinja.filters.update(money=filters.money, date=filters.date, bill=bill)
        return jinja

    def _source(self, file: str) -> tuple[str, str, None] | None:
        source = self.files.get(file)
        return None if source is None else (source, PLACE + file, None)


def hash_of(files: Mapping[str, str]) -> bytes:
    """The name of a version: nobody finds other files that have it."""
    return hashlib.sha256(msgspec.json.encode(sorted(files.items()))).digest()


def read_version(folders: Sequence[Path], files: Iterable[str]) -> TemplateVersion:
    """Read these files and all that they include; where a name is made at rendering, all that there is.

    Errors: `FilesTooLarge`; `OSError` and `ValueError` for a file that cannot be read.
    """
    jinja, loader = Environment(autoescape=True), FileSystemLoader(folders)  # parses, renders nothing
    found: dict[str, str] = {}
    stamps: dict[str, Stamp] = {}
    places = [str(folder) for folder in folders]
    wanted = list(files)
    while wanted:
        file = wanted.pop()
        if file in stamps:
            continue
        stamps[file] = _stamp(places, file)  # before it is read: a change in between is seen later
        try:
            found[file] = loader.get_source(jinja, file)[0]
        except TemplateNotFound:
            continue  # rendering says so, if it comes to that
        if "\x00" in found[file]:
            raise ValueError(f"{file} holds a NUL character")
        if sum(map(len, found.values())) > FILES_CHARACTERS_MAX:
            raise FilesTooLarge(f"with what it includes, it has more than {FILES_CHARACTERS_MAX} characters")
        wanted += _included(jinja, folders, found[file])
    return TemplateVersion(found, stamps)


def _included(jinja: Environment, folders: Sequence[Path], source: str) -> list[str]:
    try:
        names = list(find_referenced_templates(jinja.parse(source)))
    except (TemplateSyntaxError, RecursionError):
        return []  # rendering says where
    if None not in names:
        return [name for name in names if name is not None]
    # The folders themselves are looked at, too: a file that is added changes them.
    return [
        ".",
        *(
            str(path.relative_to(folder))
            for folder in folders
            for path in folder.rglob("*")
            if _is_text(path)
        ),
    ]


def _is_text(path: Path) -> bool:
    try:
        return path.is_file() and bool(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False


def _stamp(folders: Sequence[str], file: str) -> Stamp:
    for folder in folders:
        path = f"{folder}/{file}"
        try:
            found = os.stat(
                path
            )  # a `Path` takes five times as long, and this is asked of each file for each batch
        except (OSError, ValueError):
            continue
        return path, found.st_mtime_ns, found.st_size
    return None
