"""Templates on disk: which names there are, and how one becomes subject, text and HTML.

A template is three files, `<name>.subject`, `<name>.txt` and `<name>.mjml`; the operator's folder
is looked at first, then the shipped one. Jinja comes first and MJML second, so that a template may
loop over columns and rows; MJML takes 40 µs.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mrml
from jinja2 import (
    Environment,
    FileSystemLoader,
    StrictUndefined,
    TemplateError,
    TemplateNotFound,
    TemplateSyntaxError,
)
from jinja2.exceptions import SecurityError

from postroom.base.sandbox import Sandbox
from postroom.channels.email import filters
from postroom.channels.email.bill import bill

SHIPPED = Path(__file__).parent / "templates"
KINDS = ("subject", "txt", "mjml")
OUTPUT_CHARACTERS_MAX = 1_000_000
SUBJECT_CHARACTERS_MAX = 500
_NAME = re.compile(r"[a-z0-9_-]{1,100}")


class TemplateFailed(Exception):
    """A template cannot be rendered. The text names it and is safe to show."""


@dataclass(frozen=True, slots=True)
class Rendered:
    subject: str
    text: str
    html: str


class TemplateFolders:
    """Looks at the folders at each question, so that a new template needs no restart."""

    def __init__(self, own: Path | None) -> None:
        self.folders = (*((own,) if own else ()), SHIPPED)

    def has(self, name: str) -> bool:
        """Whether all three files are there, each in either folder."""
        return bool(_NAME.fullmatch(name)) and all(
            any((folder / f"{name}.{kind}").is_file() for folder in self.folders) for kind in KINDS
        )

    def fault_of(self, name: str) -> str:
        """Why `has` says no: which files are missing, or which names there are."""
        shown = f"template {name[:100]!r}"
        files = [f"{name}.{kind}" for kind in KINDS] if _NAME.fullmatch(name) and name[0] != "_" else []
        missing = [file for file in files if not any((folder / file).is_file() for folder in self.folders)]
        if len(missing) < len(files):
            return f"{shown} lacks {', '.join(missing)}"
        return f"{shown} is unknown; known are {', '.join(self.names())}"

    def names(self) -> list[str]:
        """Every name that `has` says yes to, sorted."""
        found = {path.stem for folder in self.folders for path in folder.glob("*.subject")}
        return sorted(name for name in found if self.has(name))


class _Loader(FileSystemLoader):
    """Asks the disk once a batch whether a file is as it was; one mail alone would ask nine times."""

    batch = 0

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, Callable[[], bool]]:
        source, path, is_current = super().get_source(environment, template)
        seen_in = self.batch

        def is_current_in_batch() -> bool:
            nonlocal seen_in
            if seen_in != self.batch:
                if not is_current():
                    return False
                seen_in = self.batch
            return True

        return source, path, is_current_in_batch


class Templates:
    """Renders in this process and thread: a template can hang it, which is why `Renderer` has a process."""

    def __init__(self, folders: TemplateFolders) -> None:
        self._folders = folders
        self._loader = _Loader(folders.folders)
        # What decides is where a file is put, not its name: a text that HTML includes is escaped there.
        self._text, self._html = (_environment(self._loader, escape=escape) for escape in (False, True))

    def next_batch(self) -> None:
        """From now on files are looked at again."""
        self._loader.batch += 1

    def render(self, name: str, data: Mapping[str, Any]) -> Rendered:
        """Fill one template. `data` is there as `data`, and each of its entries by its own name.

        Errors: `TemplateFailed`.
        """
        if not _NAME.fullmatch(name):
            raise TemplateFailed(self._folders.fault_of(name))
        try:
            # All white space becomes one blank: line breaks in the data must not reach a header.
            subject = " ".join(self._fill(self._text, f"{name}.subject", data).split())
            if not 0 < len(subject) <= SUBJECT_CHARACTERS_MAX:
                raise TemplateFailed(
                    f"template {name}: the subject has {len(subject)} characters, not 1 to 500"
                )
            text = self._fill(self._text, f"{name}.txt", data)
            html = mrml.to_html(self._fill(self._html, f"{name}.mjml", data)).content
        except TemplateNotFound as error:
            # Asked only now: the three files are looked for anyway.
            fault = (
                f"template {name}: {error.message}"
                if self._folders.has(name)
                else self._folders.fault_of(name)
            )
            raise TemplateFailed(fault) from None
        except (TemplateError, SecurityError) as error:
            raise TemplateFailed(f"template {name}: {self._where(error)}{error.message}") from None
        except MemoryError:
            raise TemplateFailed(f"template {name}: needs too much memory") from None
        except RecursionError:
            raise TemplateFailed(f"template {name}: is nested too deeply") from None
        except (ArithmeticError, LookupError, TypeError, ValueError, OSError) as error:
            raise TemplateFailed(f"template {name}: {self._where(error)}{str(error)[:300]}") from None
        return Rendered(subject, text, html)

    def _fill(self, jinja: Sandbox, file: str, data: Mapping[str, Any]) -> str:
        """Errors: `TemplateFailed` as soon as the output grows past the limit."""
        parts: list[str] = []
        size = 0
        for part in jinja.get_template(file).generate({**data, "data": data}):
            size += len(part)
            if size > OUTPUT_CHARACTERS_MAX:
                raise TemplateFailed(f"template {file}: is longer than {OUTPUT_CHARACTERS_MAX} characters")
            parts.append(part)
        return "".join(parts)

    def _where(self, error: Exception) -> str:
        """File and line of a template; Jinja puts them into the traceback. Empty for a fault of MJML."""
        if isinstance(error, TemplateSyntaxError):
            return f"{error.name}, line {error.lineno}: "
        for frame in reversed(traceback.extract_tb(error.__traceback__)):
            path = Path(frame.filename)
            if path.parent in self._folders.folders and path.suffix != ".py":
                return f"{path.name}, line {frame.lineno}: "
        return ""


def _environment(loader: FileSystemLoader, *, escape: bool) -> Sandbox:
    jinja = Sandbox(
        loader=loader,
        undefined=StrictUndefined,
        autoescape=escape,
        trim_blocks=True,
        lstrip_blocks=True,
        cache_size=200,
    )
    jinja.filters.update(money=filters.money, date=filters.date, bill=bill)
    return jinja
