"""Templates tried with their samples: what fails, and what readers or their mail programs would trip over."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from html.parser import HTMLParser
from typing import Any, Final

import msgspec

from postroom.base.errors import InvalidInput
from postroom.channels.email.locales import LANGUAGES
from postroom.channels.email.renderer import Renderer
from postroom.channels.email.speech import ENGLISH
from postroom.channels.email.template import Rendered, TemplateFailed, TemplateFolders
from postroom.channels.email.template_version import TemplateVersion
from postroom.channels.email.words import CatalogueFaulty

SUBJECT_SHOWN_MAX: Final = 78
"""Mail programs show less; what is longer than a line of a mail is folded as well."""
SAMPLE_BYTES_MAX: Final = 1_000_000
_SAFE: Final = ("https:", "mailto:", "tel:", "cid:", "data:", "#")
_PLAIN_LINK: Final = re.compile(r"\bhttp://[^\s<>\"')]+")


class FindingKind(StrEnum):
    """`TEXT` is for information; the others are faults."""

    FAILS = "fails"
    SAMPLE = "sample"
    SUBJECT = "subject"
    LINK = "link"
    WORDS = "words"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Finding:
    template: str
    kind: FindingKind
    text: str

    @property
    def is_fault(self) -> bool:
        return self.kind is not FindingKind.TEXT


def read_sample(folders: TemplateFolders, name: str) -> dict[str, Any] | None:
    """The `data` in NAME.sample.json, in the operator's folder or the shipped one; None where there is none.

    Errors: `InvalidInput` for an unknown name, and for a sample that cannot be read or is no object.
    """
    if not folders.has(name):  # a name from outside must not lead out of the folders either
        raise InvalidInput(folders.fault_of(name), field="template")
    for folder in folders.folders:
        path = folder / f"{name}.sample.json"
        try:
            raw = path.read_bytes()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise InvalidInput(f"{path.name} cannot be read: {error.strerror}") from None
        return parse_data(raw, path.name)
    return None


def parse_data(raw: bytes, name: str) -> dict[str, Any]:
    """What a template is filled with. Errors: `InvalidInput`."""
    if len(raw) > SAMPLE_BYTES_MAX:
        raise InvalidInput(f"{name} has more than {SAMPLE_BYTES_MAX} bytes")
    try:
        return msgspec.json.decode(raw, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidInput(f"{name} is no JSON object: {str(error)[:200]}") from None


async def check_template(name: str, *, folders: TemplateFolders, renderer: Renderer) -> list[Finding]:
    """Render a template with its sample, in each language that it is written in. Errors: `Unavailable`."""
    try:
        version = await asyncio.to_thread(folders.read, name)
        sample = read_sample(folders, name)
        if sample is None:
            fault = (
                f"put data for it into {name}.sample.json beside it; without, nobody knows whether it renders"
            )
            return [Finding(name, FindingKind.SAMPLE, fault)]
        done = await renderer.render(name, sample)
    except InvalidInput as error:
        return [Finding(name, FindingKind.SAMPLE, error.detail)]
    except TemplateFailed as error:
        return [Finding(name, FindingKind.FAILS, str(error))]
    return [*_findings(name, done), *await _findings_by_language(name, version, sample, renderer)]


async def _findings_by_language(
    name: str, version: TemplateVersion, sample: dict[str, Any], renderer: Renderer
) -> list[Finding]:
    found: list[Finding] = []
    for language in sorted(LANGUAGES - {ENGLISH}):
        try:
            if f"_words.{language}.po" in version.files and (lacking := version.lacking(language)):
                such_as = f"{len(lacking)} of its sentences, such as {lacking[0][:80]!r}"
                fault = f"{language} has no words for {such_as}"
                found.append(Finding(name, FindingKind.WORDS, fault))
            if version.is_spoken(name, language):
                await renderer.render(name, sample, locale=language)
        except CatalogueFaulty as error:
            found.append(Finding(name, FindingKind.WORDS, str(error)))
        except TemplateFailed as error:
            found.append(Finding(name, FindingKind.FAILS, f"in {language}: {error}"))
    return found


def _findings(name: str, done: Rendered) -> Iterator[Finding]:
    if len(done.subject) > SUBJECT_SHOWN_MAX:
        fault = f"{len(done.subject)} characters, of which readers see {SUBJECT_SHOWN_MAX} at most"
        yield Finding(name, FindingKind.SUBJECT, fault)
    for link in sorted({*_links(done.html), *_PLAIN_LINK.findall(done.text)}):
        yield Finding(name, FindingKind.LINK, f"{link[:200]!r} is no https link")
    if f"{name}.txt" not in done.files:
        yield Finding(name, FindingKind.TEXT, "has no text of its own: it is taken from the HTML")


def _links(html: str) -> set[str]:
    collector = _Collector()
    collector.feed(html)
    collector.close()
    return {each for each in collector.found if not each.lower().startswith(_SAFE)}


class _Collector(HTMLParser):
    """Where a reader is led, and what is fetched when a mail is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values: Mapping[str, str | None] = dict(attrs)
        if tag in ("a", "area"):
            self.found.append((values.get("href") or "").strip())
        elif tag == "img":
            self.found.append((values.get("src") or "").strip())
