"""Mails in other languages: which one a mail is in, whose words they are, and that none is missing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from postroom.base.email_settings import EmailSettings
from postroom.base.errors import InvalidPayload
from postroom.channels.email import bill, payload
from postroom.channels.email.defaults import MailDefaults, Seller
from postroom.channels.email.locales import LANGUAGES
from postroom.channels.email.renderer import Renderer
from postroom.channels.email.template import SHIPPED, TemplateFailed, TemplateFolders, Templates, folders_of
from postroom.channels.email.template_check import check_template
from postroom.channels.email.words import words_of
from tests.channels.email.test_mails import FOLDERS, GOLDEN, TEMPLATES, sample
from tests.channels.email.test_template import write

OTHERS = sorted(LANGUAGES - {"en"})
LABELS = {*bill.LABELS.values(), bill.ITEM, bill.MORE[0], bill.SOME_MORE}
FRENCH = {"customer": {"object": "customer", "preferred_locales": ["xx", "fr-CA"]}}
TEXT = '<mj-text>{{ _("Good day, %(name)s.", name=name) }}</mj-text>'
SENTENCE = f"<mj-section><mj-column>{TEXT}</mj-column></mj-section>"
GERMAN = 'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=utf-8\\n"\n\n'
GOOD_DAY = 'msgid "Good day, %(name)s."\nmsgstr "Grüß Gott, %(name)s."\n'


def shipped_words() -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in SHIPPED.glob("*.po")}


@pytest.mark.parametrize("language", OTHERS)
def test_every_sentence_and_label_has_words_and_no_word_is_left_over(language: str) -> None:
    versions = [FOLDERS.read(name) for name in FOLDERS.names()]
    assert [version.lacking(language) for version in versions] == [[]] * len(versions)
    said = set().union(*(version.sentences(file) for version in versions for file in version.files))
    assert words_of(shipped_words(), language).known == said | LABELS


@pytest.mark.parametrize("language", OTHERS)
def test_words_keep_the_values_of_their_sentence(language: str) -> None:
    from babel.messages.pofile import read_po

    with (SHIPPED / f"_shipped.{language}.po").open(encoding="utf-8") as source:
        catalogue = read_po(source)
    for message in catalogue:
        if not message.id:
            continue
        sentences = [message.id] if isinstance(message.id, str) else [*message.id]
        words = [message.string] if isinstance(message.string, str) else [*(message.string or ())]
        assert len(words) == (1 if isinstance(message.id, str) else catalogue.num_plurals)
        for text in words:
            assert placeholders(sentences[0]) <= placeholders(text) <= placeholders(sentences[-1]), text
            assert not set(text or "") & set("<>&"), "it goes into HTML as it is"


def placeholders(text: str | None) -> set[str]:
    return set(re.findall(r"%\(\w+\)s", text or ""))


@pytest.mark.parametrize("language", ["de", "ja"])
@pytest.mark.parametrize("name", FOLDERS.names())
def test_each_mail_says_this_in(name: str, language: str) -> None:
    mail = TEMPLATES.render(name, sample(name), locale=language)
    said = f"{mail.subject}\n\n{mail.text.strip()}\n"
    assert said == (GOLDEN / language / f"{name}.txt").read_text(encoding="utf-8")
    assert f'<html lang="{language}"' in mail.html


@pytest.mark.parametrize(
    ("default", "wanted", "data", "begins"),
    [
        (None, None, {}, "Thank you, Ada"),
        (None, None, FRENCH, "Merci, Ada"),
        (None, "es", FRENCH, "Gracias, Ada"),
        (None, ["xx", "de-CH"], FRENCH, "Vielen Dank, Ada"),
        (None, "xx", FRENCH, "Thank you, Ada"),
        ("it", None, {}, "Grazie, Ada"),
        ("it", "xx", {}, "Grazie, Ada"),
        ("it", "en", {}, "Thank you, Ada"),
        ("it", None, {"customer": {"preferred_locales": ["fr"]}}, "Grazie, Ada"),
    ],
)
def test_the_payload_chooses_then_the_customer_then_the_settings(
    default: str | None, wanted: Any, data: dict[str, Any], begins: str
) -> None:
    templates = Templates(TemplateFolders(None, MailDefaults(locale=default)))
    assert templates.render("receipt", sample("receipt") | data, locale=wanted).text.startswith(begins)


def test_amounts_and_days_are_the_languages_and_days_the_zones() -> None:
    receipt = sample("receipt")  # paid at midnight UTC
    here = TemplateFolders(None, MailDefaults("de-CH", "America/New_York"))
    mail = Templates(here).render("receipt", receipt)
    assert "Zahlung von EUR\N{NO-BREAK SPACE}119.00 am 31. Dezember 2025 erhalten" in mail.text
    asked = Templates(TemplateFolders(None, MailDefaults(zone="Asia/Tokyo"))).render("receipt", receipt)
    assert "on 1 January 2026" in asked.text


def test_a_receipt_says_what_is_missing_in_its_language() -> None:
    lines = {"has_more": True, "total_count": 3, "data": [{"amount": 100, "description": None}]}
    data = {"object": sample("receipt")["object"] | {"lines": lines}}
    german = TEMPLATES.render("receipt", data, locale="de").text
    assert "- Position: 1,00" in german
    assert "- 2 weitere Positionen (auf der Rechnung): 99,00" in german
    assert "- ほか2件（請求書に記載）: " in TEMPLATES.render("receipt", data, locale="ja").text


def test_a_template_of_one_language_has_nothing_of_another(tmp_path: Path) -> None:
    body = "{% block title %}Hi{% endblock %}{% block body %}<mj-text>Hi</mj-text>{% endblock %}"
    write(tmp_path, "own", txt="{{ 1250 | money('eur') }} {{ 1700000000 | date }}")
    (tmp_path / "own.mjml").write_text('{% extends "_layout.mjml" %}' + body)
    mail = Templates(TemplateFolders(tmp_path)).render("own", FRENCH, locale="de")
    assert mail.text == "€12.50 14 November 2023"
    assert 'lang="en"' in mail.html
    assert "You get this mail because" in mail.html
    # Whose templates are all in German says so once.
    german = Templates(TemplateFolders(tmp_path, MailDefaults("de"))).render("own", FRENCH)
    assert german.text == "12,50\N{NO-BREAK SPACE}€ 14. November 2023"
    assert "Sie erhalten diese E-Mail" in german.html


def test_words_of_a_teams_own(tmp_path: Path) -> None:
    write(tmp_path, "own", subject="s", txt="{% trans %}Good day, {{ name }}.{% endtrans %}", mjml=SENTENCE)
    templates = Templates(TemplateFolders(tmp_path))
    assert templates.render("own", {"name": "<b>"}, locale="de").text == "Good day, <b>."
    (tmp_path / "_words.de.po").write_text(GERMAN + GOOD_DAY + '\nmsgid "Thank you."\nmsgstr "Danke!"\n')
    templates.next_batch()
    mail = templates.render("own", {"name": "<b>"}, locale="de")
    assert mail.text == "Grüß Gott, <b>."
    assert "Grüß Gott, &lt;b&gt;." in mail.html
    # They go before the shipped ones, sentence by sentence.
    receipt = {"object": sample("receipt")["object"] | {"customer_name": None}}
    text = templates.render("receipt", receipt, locale="de").text
    assert text.startswith("Danke!\n\nWir haben Ihre Zahlung")


def test_shipped_english_is_put_otherwise(tmp_path: Path) -> None:
    (tmp_path / "_words.en.po").write_text(GERMAN + 'msgid "Your refund"\nmsgstr "Your money is back"\n')
    mail = Templates(TemplateFolders(tmp_path)).render("refund", sample("refund"))
    assert mail.subject == "Your money is back"


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ('msgid "Good day, %(name)s."\nmsgstr "Guten Tag"\nnonsense\n', "_words.de.po, line 7"),
        ('msgid "Good day, %(name)s."\nmsgstr "Guten Tag, %(nmae)s."\n', "'nmae'"),
    ],
)
def test_words_that_do_not_work_are_named(tmp_path: Path, words: str, fault: str) -> None:
    write(tmp_path, "own", mjml=SENTENCE)
    (tmp_path / "_words.de.po").write_text(GERMAN + words)
    with pytest.raises(TemplateFailed, match=re.escape(fault)):
        Templates(TemplateFolders(tmp_path)).render("own", {"name": "Ann"}, locale="de")


async def test_the_check_tries_each_language_and_counts_what_is_missing(tmp_path: Path) -> None:
    second = SENTENCE.replace("Good day, %(name)s.", "Bye, %(name)s.")
    write(tmp_path, "own", txt="x", mjml=SENTENCE + second)
    (tmp_path / "own.sample.json").write_text('{"name": "Ann"}')
    (tmp_path / "_words.de.po").write_text(GERMAN + GOOD_DAY)
    folders = TemplateFolders(tmp_path)
    renderer = Renderer(folders)
    try:
        lacks = "de has no words for 1 of its sentences, such as 'Bye, %(name)s.'"
        found = await check_template("own", folders=folders, renderer=renderer)
        assert [each.text for each in found] == [lacks]
        bye = '\nmsgid "Bye, %(name)s."\nmsgstr "Tschüß, %(nmae)s."\n'
        (tmp_path / "_words.de.po").write_text(GERMAN + GOOD_DAY + bye)
        [finding] = await check_template("own", folders=folders, renderer=renderer)
        assert finding.text.startswith("in de: template own: own.mjml, line 1: ")
    finally:
        await renderer.close()


def test_what_the_settings_say_is_a_part_of_the_version() -> None:
    before = Templates(TemplateFolders(None, MailDefaults("de", "Europe/Berlin", Seller("Shop", "1 Street"))))
    mail = before.render("receipt", sample("receipt"))
    assert "Rechnungssteller\nShop\n1 Street\n" in mail.text
    later = Templates(TemplateFolders(None, MailDefaults("fr")))
    assert later.render("receipt", sample("receipt"), mail.files).text == mail.text
    assert later.render("receipt", sample("receipt")).text.startswith("Merci")


def test_who_sells_comes_from_the_settings_unless_it_is_a_connected_account() -> None:
    settings = EmailSettings.model_validate(
        {"seller": {"name": "Shop & Sons", "address": "1 High Street\nLondon", "tax_ids": "GB1, DE2"}}
    )
    templates = Templates(folders_of(settings))
    mail = templates.render("receipt", sample("receipt"))
    assert mail.subject == "Your receipt from Shop & Sons (A-17)"
    assert "From\nShop & Sons\n1 High Street\nLondon\nTax ID: GB1\nTax ID: DE2\n" in mail.text
    assert "Shop &amp; Sons<br />1 High Street<br />London<br />Tax ID: GB1<br />" in mail.html
    connected = sample("receipt") | {"event": {"account": "acct_1", "data": {}}}
    assert "From\nExample Shop\n\nSee it" in templates.render("receipt", connected).text


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        ({"locale": "xx"}, "a language that mails are written in"),
        ({"zone": "Mars/Base"}, "a time zone such as Europe/Berlin"),
        ({"seller": {"nmae": "Shop"}}, "Extra inputs"),
    ],
)
def test_settings_that_cannot_work(wrong: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        EmailSettings.model_validate(wrong)


@pytest.mark.parametrize("wrong", [["de"] * 21, "x" * 41, 5, [5]])
def test_a_locale_of_the_payload_has_a_limit(wrong: Any) -> None:
    mail = {"to": "a@example.com", "template": "receipt", "locale": wrong}
    with pytest.raises(InvalidPayload) as refused:
        payload.parse(mail, attachments_bytes_max=0)
    assert str(refused.value.field).startswith("locale")


def test_a_locale_needs_a_template() -> None:
    mail = {"to": "a@example.com", "subject": "s", "text": "t", "locale": "de"}
    with pytest.raises(InvalidPayload, match="locale is for a template"):
        payload.parse(mail, attachments_bytes_max=0)
