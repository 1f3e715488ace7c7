"""The words of mails in other languages: gettext catalogues that lie beside the templates.

`_words.LANGUAGE.po` is a team's own and goes before `_shipped.LANGUAGE.po`, sentence by sentence. A sentence
that neither has stays as the template has it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from gettext import NullTranslations
from io import BytesIO, StringIO
from itertools import pairwise
from typing import Final

from jinja2 import nodes
from jinja2.ext import GETTEXT_FUNCTIONS, extract_from_ast

from postroom.channels.email.locales import LANGUAGES

SETS: Final = ("_words", "_shipped")
CATALOGUES: Final = tuple(f"{each}.{language}.po" for language in sorted(LANGUAGES) for each in SETS)


class CatalogueFaulty(ValueError):
    """A catalogue cannot be read. The text names file and line."""


@dataclass(frozen=True, slots=True)
class Words:
    """`known`: the sentences that have a translation, the singular of those that have a plural."""

    gettext: NullTranslations = field(default_factory=NullTranslations)
    known: frozenset[str] = frozenset()


def words_of(files: Mapping[str, str], language: str) -> Words:
    """The catalogues of a language, one behind the other. Errors: `CatalogueFaulty`."""
    several = [_read(file, files[file]) for each in SETS if (file := f"{each}.{language}.po") in files]
    for first, second in pairwise(several):
        first.gettext.add_fallback(second.gettext)
    if not several:
        return Words()
    return Words(several[0].gettext, frozenset().union(*(each.known for each in several)))


def sentences(tree: nodes.Template) -> set[str]:
    """What a template marks for translation, the singular of what has a plural."""
    marked = (text for _, _, text in extract_from_ast(tree, GETTEXT_FUNCTIONS))
    return {first for text in marked if (first := text[0] if isinstance(text, tuple) else text)}


def _read(file: str, source: str) -> Words:
    from babel.messages.mofile import write_mo  # late: most mails are in the language of their template
    from babel.messages.pofile import PoFileError, read_po
    from babel.support import Translations

    try:
        catalogue = read_po(StringIO(source), abort_invalid=True)
        compiled = BytesIO()
        write_mo(compiled, catalogue)
        compiled.seek(0)
        translations = Translations(compiled)
    except PoFileError as error:
        raise CatalogueFaulty(f"{file}, line {error.lineno + 1}: {error}") from None
    except (ValueError, LookupError, SyntaxError) as error:
        raise CatalogueFaulty(f"{file}: {str(error)[:200]}") from None
    said = (each for each in catalogue if each.id and not each.fuzzy and _is_said(each.string))
    return Words(
        translations, frozenset(each.id if isinstance(each.id, str) else each.id[0] for each in said)
    )


def _is_said(text: str | Sequence[str] | None) -> bool:
    return all(text) if isinstance(text, list | tuple) else bool(text)
