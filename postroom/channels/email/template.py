"""Templates on disk: which names there are, and how one becomes subject, text and HTML.

A template is `<name>.subject`, `<name>.mjml` and, unless its text is to be taken from the HTML, `<name>.txt`;
the operator's folder is looked at first, then those of applications, then the shipped one. Jinja comes first
and MJML second, so that a template may loop over columns and rows.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError, TemplateNotFound, TemplateSyntaxError
from jinja2.exceptions import SecurityError

from postroom.base.operator_code import operators_code
from postroom.base.sandbox import Sandbox
from postroom.channels.email.defaults import NONE, MailDefaults, defaults_of
from postroom.channels.email.mjml import to_html
from postroom.channels.email.speech import NAME
from postroom.channels.email.template_version import (
    PLACE,
    FilesTooLarge,
    TemplateVersion,
    read_version,
)
from postroom.channels.email.text_of_html import text_of

if TYPE_CHECKING:  # see `defaults`
    from postroom.base.email_settings import EmailSettings

SHIPPED = Path(__file__).parent / "templates"
REQUIRED = ("subject", "mjml")
KINDS = (*REQUIRED, "txt")
GIVEN_KEPT_MAX = 20
OUTPUT_CHARACTERS_MAX = 1_000_000
SUBJECT_CHARACTERS_MAX = 500
PARTS = 100
"""Of an output, between two looks at how much there is."""
_NAME = re.compile(r"[a-z0-9_-]{1,100}")


class TemplateFailed(Exception):
    """A template cannot be rendered. The text names it and is safe to show."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """`files`: what it was rendered from, by name; the same object for the same version of a template."""

    subject: str
    text: str
    html: str
    files: Mapping[str, str]


class TemplateFolders:
    """Looks at the folders at each question, so that a new template needs no restart."""

    def __init__(
        self, own: Path | None, defaults: MailDefaults = NONE, *, of_apps: Sequence[Path] = ()
    ) -> None:
        """A file is taken from the first folder that has it: `own`, those of applications, the shipped."""
        self.defaults = defaults
        self.added = (*((own,) if own else ()), *of_apps)
        self.folders = (*self.added, SHIPPED)

    def has(self, name: str) -> bool:
        """Whether its files are there, each in any folder."""
        return bool(_NAME.fullmatch(name)) and all(
            any((folder / f"{name}.{kind}").is_file() for folder in self.folders) for kind in REQUIRED
        )

    def fault_of(self, name: str) -> str:
        """Why `has` says no: which files are missing, or which names there are."""
        shown = f"template {name[:100]!r}"
        kinds = KINDS if _NAME.fullmatch(name) and name[0] != "_" else ()
        missing = [kind for kind in kinds if not any((f / f"{name}.{kind}").is_file() for f in self.folders)]
        if len(missing) < len(kinds):
            return f"{shown} lacks {', '.join(f'{name}.{kind}' for kind in missing if kind in REQUIRED)}"
        return f"{shown} is unknown; known are {', '.join(self.names())}"

    def names(self) -> list[str]:
        """Every name that `has` says yes to, sorted."""
        return [name for name in self.begun() if self.has(name)]

    def begun(self) -> list[str]:
        """The same, and those that lack a file beside their subject."""
        return sorted({path.stem for folder in self.folders for path in folder.glob("*.subject")})

    def read(self, name: str) -> TemplateVersion:
        """A template as it is now. Errors: `TemplateFailed`."""
        if not self.has(name):
            raise TemplateFailed(self.fault_of(name))
        try:
            files = [f"{name}.{kind}" for kind in KINDS]
            return read_version(self.folders, files, self.defaults)
        except FilesTooLarge as error:
            raise TemplateFailed(f"template {name}: {error}") from None
        except (OSError, ValueError) as error:
            raise TemplateFailed(f"template {name}: {str(error)[:300]}") from None


def folders_of(settings: EmailSettings) -> TemplateFolders:
    """The folders, and what the settings say for all mails. Errors: `SettingsInvalid`, of applications."""
    of_apps: Sequence[Path] = ()
    if settings.templates_apps == "django":
        with operators_code("POSTROOM_EMAIL__TEMPLATES_APPS"):
            from postroom.contrib.django.mail_templates import folders_of_project

            of_apps = folders_of_project()
    return TemplateFolders(settings.templates_dir, defaults_of(settings), of_apps=of_apps)


class Templates:
    """Renders in this process and thread: a template can hang it, which is why `Renderer` has a process."""

    def __init__(self, folders: TemplateFolders) -> None:
        self._folders = folders
        self._places = [str(folder) for folder in folders.folders]
        self._batch = 0
        self._current: dict[str, tuple[int, TemplateVersion]] = {}
        self._given: dict[bytes, TemplateVersion] = {}

    def next_batch(self) -> None:
        """From now on files are looked at again. One mail alone would ask the disk nine times."""
        self._batch += 1

    def render(
        self,
        name: str,
        data: Mapping[str, Any],
        files: Mapping[str, str] | None = None,
        locale: object = None,
    ) -> Rendered:
        """Fill one template. `data` is there as `data`, and each of its entries by its own name.

        `files`: an earlier version of it; otherwise it is rendered as it is now. `locale`: as in
        `Speech.begin`. Errors: `TemplateFailed`.
        """
        version = self._current_version(name) if files is None else self._given_version(files)
        try:
            data = {**data, "data": data, NAME: version.begin(name, data, locale)}
            # All white space becomes one blank: line breaks in the data must not reach a header.
            subject = " ".join(self._fill(version.text, f"{name}.subject", data).split())
            if not 0 < len(subject) <= SUBJECT_CHARACTERS_MAX:
                raise TemplateFailed(
                    f"template {name}: the subject has {len(subject)} characters, not 1 to 500"
                )
            html = to_html(self._fill(version.html, f"{name}.mjml", data))
            own_text = f"{name}.txt"
            text = self._fill(version.text, own_text, data) if own_text in version.files else text_of(html)
        except (TemplateError, SecurityError) as error:
            where = "" if isinstance(error, TemplateNotFound) else _where(error)
            raise TemplateFailed(f"template {name}: {where}{error.message}") from None
        except MemoryError:
            raise TemplateFailed(f"template {name}: needs too much memory") from None
        except RecursionError:
            raise TemplateFailed(f"template {name}: is nested too deeply") from None
        except (ArithmeticError, LookupError, TypeError, ValueError, OSError) as error:
            raise TemplateFailed(f"template {name}: {_where(error)}{str(error)[:300]}") from None
        return Rendered(subject, text, html, version.files)

    def _current_version(self, name: str) -> TemplateVersion:
        batch, version = self._current.get(name, (-1, None))
        if version is None or (batch != self._batch and not version.is_as_read(self._places)):
            version = self._folders.read(name)
        self._current[name] = self._batch, version
        return version

    def _given_version(self, files: Mapping[str, str]) -> TemplateVersion:
        version = TemplateVersion(files)
        if version.hash not in self._given:
            while len(self._given) >= GIVEN_KEPT_MAX:
                del self._given[next(iter(self._given))]
            self._given[version.hash] = version
        return self._given[version.hash]

    def _fill(self, jinja: Sandbox, file: str, data: Mapping[str, Any]) -> str:
        """Errors: `TemplateFailed` as soon as the output grows past the limit."""
        parts: list[str] = []
        size = 0
        rest = jinja.get_template(file).generate(data)
        while some := list(islice(rest, PARTS)):
            parts += some
            size += sum(map(len, some))
            if size > OUTPUT_CHARACTERS_MAX:
                raise TemplateFailed(f"template {file}: is longer than {OUTPUT_CHARACTERS_MAX} characters")
        return "".join(parts)


def _where(error: Exception) -> str:
    """File and line of a template; Jinja puts them into the traceback. Empty for a fault of MJML."""
    if isinstance(error, TemplateSyntaxError):
        return f"{error.name}, line {error.lineno}: "
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename.startswith(PLACE):
            return f"{frame.filename.removeprefix(PLACE)}, line {frame.lineno}: "
    return ""
