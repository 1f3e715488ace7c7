"""Several ledgers: each has a database and accounts of Stripe's of its own, and a process may choose one."""

from __future__ import annotations

import os

import pytest

from postroom.base.errors import SettingsInvalid
from postroom.base.settings import load_settings
from postroom.health.setting_names import unknown_names

EU, US = "postgresql://postroom@127.0.0.1/eu", "postgresql://postroom@127.0.0.1/us"


@pytest.fixture(autouse=True)
def two_ledgers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("POSTROOM_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("POSTROOM_LEDGERS__US__URL", US)
    monkeypatch.setenv("POSTROOM_LEDGERS__EU__URL", EU)
    monkeypatch.setenv("POSTROOM_LEDGERS__EU__WEIGHT", "3")


def faults_of(monkeypatch: pytest.MonkeyPatch, **settings: str) -> list[str]:
    for name, value in settings.items():
        monkeypatch.setenv(f"POSTROOM_{name}", value)
    with pytest.raises(SettingsInvalid) as refused:
        load_settings()
    return list(refused.value.faults)


def test_they_are_in_the_order_of_their_names() -> None:
    settings = load_settings()
    assert {name: each.weight for name, each in settings.ledgers.items()} == {"eu": 3, "us": 1}
    assert list(settings.ledgers) == ["eu", "us"]
    assert unknown_names(os.environ) == {}


def test_one_of_them_is_an_installation_with_its_accounts_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "API_KEY": "sk_test_of_the_first_one",
        "LEDGER": "us",
        "ACCOUNTS__SHOP__API_KEY": "sk_test_of_the_second_one",
        "ACCOUNTS__SHOP__WEBHOOK_SECRETS": "whsec_" + "a" * 24,
        "ACCOUNTS__SHOP__LEDGER": "eu",
    }.items():
        monkeypatch.setenv(f"POSTROOM_STRIPE__{name}", value)
    settings = load_settings()
    eu, us = settings.of_ledger("eu"), settings.of_ledger("us")
    assert eu.database_url is not None
    assert eu.database_url.get_secret_value() == EU
    assert not eu.ledgers
    assert eu.stripe.api_key is None
    assert list(eu.stripe.accounts) == ["shop"]
    assert us.stripe.api_key == settings.stripe.api_key
    assert not us.stripe.accounts
    assert us.email is not eu.email
    assert (eu.tasks.schedules, us.tasks.schedules) == (True, False)
    assert us.exports.layout == "ledger=us/{dataset}/{tenant}/dt={date}"
    assert settings.exports.layout == "{dataset}/{tenant}/dt={date}"


def test_an_account_of_no_ledger_is_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTROOM_STRIPE__API_KEY", "sk_test_of_all_ledgers")
    monkeypatch.setenv("POSTROOM_STRIPE__WEBHOOK_SECRETS", "whsec_" + "b" * 24)
    monkeypatch.setenv("POSTROOM_STRIPE__ACCOUNTS__SHOP__WEBHOOK_SECRETS", "whsec_" + "a" * 24)
    monkeypatch.setenv("POSTROOM_STRIPE__ACCOUNTS__SHOP__LEDGER", "eu")
    settings = load_settings()
    eu, us = settings.of_ledger("eu").stripe, settings.of_ledger("us").stripe
    for each in (eu, us):
        assert (each.api_key, each.webhook_secrets) == (
            settings.stripe.api_key,
            settings.stripe.webhook_secrets,
        )
        assert each.shared("self")
    assert (list(eu.accounts), list(us.accounts)) == (["shop"], [])
    assert not eu.shared("shop")
    assert not settings.stripe.shared("self"), "of one ledger, or before one is chosen, nothing is shared"


def test_a_process_may_choose_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTROOM_LEDGER", "us")
    settings = load_settings()
    assert (settings.ledger, settings.ledgers) == ("us", {})
    assert settings.database_url is not None
    assert settings.database_url.get_secret_value() == US


@pytest.mark.parametrize(
    ("setting", "value", "fault"),
    [
        ("LEDGER", "asia", "POSTROOM_LEDGER: no ledger of that name in POSTROOM_LEDGERS__…; known: eu, us"),
        ("STRIPE__LEDGER", "asia", "POSTROOM_STRIPE__LEDGER: no ledger of that name"),
        ("EMAIL__BOUNCES_URL", "imaps://imap.example", "POSTROOM_EMAIL__BOUNCES_URL: beside "),
        ("DATABASE_URL", "postgresql://127.0.0.1/another", "POSTROOM_DATABASE_URL: beside POSTROOM_LEDGERS"),
        ("LEDGERS__US__URL", "postgresql://another@127.0.0.1/eu", "POSTROOM_LEDGERS__US__URL: the same "),
        ("LEDGERS__E_U__URL", "postgresql://127.0.0.1/e_u", "POSTROOM_LEDGERS__E_U: not a name of letters"),
        ("LEDGERS__ASIA__WEIGHT", "2", "POSTROOM_LEDGERS__ASIA__URL: Field required"),
    ],
)
def test_what_is_wrong_with_them_is_refused(
    monkeypatch: pytest.MonkeyPatch, setting: str, value: str, fault: str
) -> None:
    found = faults_of(monkeypatch, **{setting: value})
    assert [each for each in found if each.startswith(fault)], found


def test_prod_wants_of_each_url_what_it_wants_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    faults = faults_of(
        monkeypatch,
        ENV="prod",
        METRICS_TOKEN="m" * 24,
        LEDGERS__US__URL="postgresql://postroom:" + "short@db.example/us",
    )
    assert [fault.partition(";")[0] for fault in faults] == [
        "POSTROOM_LEDGERS__US__URL: shorter than 8 characters",
        "POSTROOM_LEDGERS__US__URL: db.example is not local: end it with ?sslmode=verify-full&sslrootcert="
        "FILE, or export POSTROOM_DATABASE_UNVERIFIED=true where the network between is yours alone",
    ]
