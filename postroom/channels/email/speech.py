"""What templates say in the language of their mail: sentences, amounts, days, and the rows of a bill."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from gettext import NullTranslations
from typing import Any, Final

import msgspec
from markupsafe import Markup
from markupsafe import escape as escaped

from postroom.base.sandbox import Sandbox
from postroom.channels.email import filters
from postroom.channels.email.bill import Row, bill
from postroom.channels.email.defaults import MailDefaults, seller_of
from postroom.channels.email.locales import locale_of, tag_of
from postroom.channels.email.words import Words, words_of

NAME: Final = "postroom"
"""Under which templates have what is said about their mail; nothing of the data's hides it."""
ENGLISH: Final = "en"
SENTENCES_MAX: Final = 1_000


class Speech:
    """Of one version of a template: its catalogues, and what the settings said when it was read.

    Speaks of one mail at a time: `begin` says which. Looked up in Jinja's context, each sentence would cost
    three calls, and a receipt has thirty.
    """

    def __init__(self, files: Mapping[str, str], defaults: MailDefaults) -> None:
        self._files = files
        self._defaults = defaults
        self._catalogues: dict[str, Words] = {}
        self._words = NullTranslations()
        self._locale: str | None = None
        self._billed: tuple[object, list[Row]] | None = None

    def teach(self, jinja: Sandbox, *, escape: bool) -> None:
        """Give an environment the functions and filters that depend on the language."""
        said = Markup if escape else str

        def filled(sentence: str, values: dict[str, object]) -> str:
            """`Markup`'s own % wraps each value in two objects, which is most of a sentence's time."""
            if escape:
                values = {name: each if type(each) is int else escaped(each) for name, each in values.items()}
            return said(str(sentence) % values)

        @lru_cache(maxsize=SENTENCES_MAX)
        def fixed(words: NullTranslations, text: str) -> str:
            return filled(words.gettext(text) if text else "", {})

        def gettext(text: str, /, **values: object) -> str:
            return filled(self._words.gettext(text), values) if values else fixed(self._words, text)

        def ngettext(one: str, many: str, num: int, /, **values: object) -> str:
            return filled(self._words.ngettext(one, many, num), {"num": num, **values})

        jinja.newstyle_gettext = True  # type: ignore[attr-defined]  # of Jinja's extension: values go by name
        jinja.trusted = frozenset([gettext, ngettext])
        jinja.globals.update(gettext=gettext, ngettext=ngettext, _=gettext)
        jinja.filters.update(money=self._money, date=self._date, bill=self._bill)

    def words(self, language: str) -> Words:
        """Errors: `CatalogueFaulty`."""
        if language not in self._catalogues:
            self._catalogues[language] = words_of(self._files, language)
        return self._catalogues[language]

    def begin(
        self, data: Mapping[str, Any], locale: object, is_spoken: Callable[[str], bool]
    ) -> dict[str, Any]:
        """From now on it is about this mail. Returns: what the template is told of it, as `postroom`.

        The language is the first that `locale` wants or, where it wants none, the customer whom the data are
        about, and that the template is written in; then that of the settings, in which templates of one
        language are. Errors: `CatalogueFaulty`.
        """
        wanted = locale or _preferred(data)
        several = wanted if isinstance(wanted, list | tuple) else [wanted]
        found = (locale_of(each) for each in several if isinstance(each, str))
        chosen = next((each for each in found if each and is_spoken(each.language)), None)
        chosen = chosen or locale_of(self._defaults.locale)
        language = chosen.language if chosen else ENGLISH
        self._words, self._billed = self.words(language).gettext, None
        self._locale = tag_of(chosen) if chosen else None
        seller = msgspec.structs.asdict(seller_of(self._defaults, data))
        return {
            "language": language,
            "locale": self._locale,
            "zone": self._defaults.zone,
            "seller": seller,
        }

    def _money(self, amount: object, currency: object, locale: object = None) -> str:
        return filters.money(amount, currency, locale, otherwise=self._locale)

    def _date(
        self, value: object, form: str | None = None, *, locale: object = None, zone: object = None
    ) -> str:
        zone = self._defaults.zone if zone is None else zone
        return filters.date(value, form, locale=locale, zone=zone, otherwise=self._locale)

    def _bill(self, invoice: object) -> list[Row]:
        """Text and HTML of a mail ask for the same one."""
        if self._billed is None or self._billed[0] is not invoice:
            self._billed = invoice, bill(invoice, self._words)
        return self._billed[1]


def _preferred(data: Mapping[str, Any]) -> object:
    """Stripe's `preferred_locales` of the customer among the data, or who is their object."""
    for name in ("customer", "object"):
        person = data.get(name)
        if isinstance(person, Mapping) and person.get("object") == "customer":
            return person.get("preferred_locales")
    return None
