"""One state of a template: all that it is rendered from, read at one moment and named by a hash."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final

import msgspec
from jinja2 import (
    Environment,
    FileSystemLoader,
    FunctionLoader,
    StrictUndefined,
    Template,
    TemplateNotFound,
    TemplateSyntaxError,
    nodes,
)
from jinja2.meta import find_referenced_templates

from postroom.base.sandbox import Sandbox
from postroom.channels.email.defaults import FILE as DEFAULTS_FILE
from postroom.channels.email.defaults import MailDefaults, read_defaults
from postroom.channels.email.speech import ENGLISH, Speech
from postroom.channels.email.words import CATALOGUES, sentences

PLACE: Final = "<template> "
"""How the name of a template's file begins in a traceback."""
FILES_CHARACTERS_MAX: Final = 1_000_000
I18N: Final = "jinja2.ext.i18n"
TRIMMED: Final = "ext.i18n.trimmed"

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
        self._spoken: dict[tuple[str, str], bool] = {}

    def begin(self, name: str, data: Mapping[str, Any], locale: object) -> dict[str, Any]:
        """Render NAME for a mail from now on: see `Speech.begin`."""
        return self._speech.begin(data, locale, partial(self.is_spoken, name))

    def is_spoken(self, name: str, language: str) -> bool:
        """Whether NAME.mjml marks sentences, and there are words for each of them.

        A template of one language would otherwise have the amounts, days and the footer of another.
        """
        if (name, language) not in self._spoken:
            marked = self.sentences(f"{name}.mjml")
            known = marked if language == ENGLISH else self._speech.words(language).known
            self._spoken[name, language] = bool(marked) and marked <= known
        return self._spoken[name, language]

    def lacking(self, language: str) -> list[str]:
        """The sentences of all its files that there are no words for. Errors: `CatalogueFaulty`."""
        known = self._speech.words(language).known
        return sorted(set().union(*(self.sentences(file) for file in self.files)) - known)

    def sentences(self, file: str) -> set[str]:
        """What a file marks for translation; nothing where it cannot be parsed."""
        if file in CATALOGUES:
            return set()
        try:
            return sentences(_PARSER.parse(self.files.get(file, "")))
        except (TemplateSyntaxError, RecursionError):
            return set()

    def is_as_read(self, folders: Sequence[str]) -> bool:
        """Whether the files on disk are those that were read."""
        return all(_stamp(folders, file) == stamp for file, stamp in self._stamps.items())

    @cached_property
    def hash(self) -> bytes:
        return hash_of(self.files)

    @cached_property
    def _speech(self) -> Speech:
        return Speech(self.files, read_defaults(self.files.get(DEFAULTS_FILE, "")))

    @cached_property
    def text(self) -> Sandbox:
        return self._environment(escape=False)

    @cached_property
    def html(self) -> Sandbox:
        """What decides is where a file is put, not its name: a text that HTML includes is escaped there."""
        return self._environment(escape=True)

    def _environment(self, *, escape: bool) -> Sandbox:
        jinja = _Environment(
            loader=FunctionLoader(self._source),
            undefined=StrictUndefined,
            autoescape=escape,
            trim_blocks=True,
            lstrip_blocks=True,
            cache_size=200,
            auto_reload=False,
            extensions=[I18N],
        )
        jinja.policies[TRIMMED] = True
        self._speech.teach(jinja, escape=escape)
        return jinja

    def _source(self, file: str) -> tuple[str, str, None] | None:
        source = self.files.get(file)
        return None if source is None else (source, PLACE + file, None)


class _Environment(Sandbox):
    """Of one version, whose files never change: a template is found by its name alone.

    A mail includes fifteen, and Jinja's own look takes a lock and a key that it makes anew.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._found: dict[str, Template] = {}

    def make_globals(self, d: MutableMapping[str, Any] | None) -> dict[str, Any]:
        """Flat: Jinja's own is walked through in Python for each mail."""
        return {**self.globals, **(d or {})}

    def get_template(
        self,
        name: str | Template,
        parent: str | None = None,
        globals: MutableMapping[str, Any] | None = None,
    ) -> Template:
        if globals or not isinstance(name, str):
            return super().get_template(name, parent, globals)
        if name not in self._found:
            self._found[name] = super().get_template(name, parent)
        return self._found[name]


def hash_of(files: Mapping[str, str]) -> bytes:
    """The name of a version: nobody finds other files that have it."""
    return hashlib.sha256(msgspec.json.encode(sorted(files.items()))).digest()


def _parser() -> Environment:
    """Parses, renders nothing."""
    jinja = Environment(autoescape=True, extensions=[I18N])
    jinja.policies[TRIMMED] = True
    return jinja


_PARSER: Final = _parser()


def read_version(folders: Sequence[Path], files: Iterable[str], defaults: MailDefaults) -> TemplateVersion:
    """Read these files and all that they include; where a name is made at rendering, all that there is.

    Where one of them says something that may be said in other languages, the catalogues are a part of it.
    Errors: `FilesTooLarge`; `OSError` and `ValueError` for a file that cannot be read.
    """
    loader = FileSystemLoader(folders)
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
            found[file] = loader.get_source(_PARSER, file)[0]
        except TemplateNotFound:
            continue  # rendering says so, if it comes to that
        if "\x00" in found[file]:
            raise ValueError(f"{file} holds a NUL character")
        if sum(map(len, found.values())) > FILES_CHARACTERS_MAX:
            raise FilesTooLarge(f"with what it includes, it has more than {FILES_CHARACTERS_MAX} characters")
        if file not in CATALOGUES:
            wanted += _included(folders, found[file])
    if settings := defaults.to_text():
        found[DEFAULTS_FILE] = settings
    return TemplateVersion(found, stamps)


def _included(folders: Sequence[Path], source: str) -> list[str]:
    try:
        tree = _PARSER.parse(source)
    except (TemplateSyntaxError, RecursionError):
        return []  # rendering says where
    names = list(find_referenced_templates(tree))
    has_bill = any(each.name == "bill" for each in tree.find_all(nodes.Filter))
    words = CATALOGUES if has_bill or sentences(tree) else ()
    if None not in names:
        return [*words, *(name for name in names if name is not None)]
    # The folders themselves are looked at, too: a file that is added changes them.
    return [
        ".",
        *words,
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
