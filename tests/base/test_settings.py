"""Settings: one source, all faults at once, and no secret in what is printed."""

from __future__ import annotations

import pytest

from postroom.base.errors import SettingsInvalid
from postroom.base.settings import STRIPE_IS_ON, load_settings
from postroom.health.setting_names import unknown_names

SECRET = "postgresql://user:hidden-password@127.0.0.1/db"


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ENV", "DATABASE_URL", "METRICS_TOKEN", "PORT", "TEST_FLAVOUR", "ROUTES", "HANDLERS"):
        monkeypatch.delenv(f"POSTROOM_{name}", raising=False)


def test_several_secrets_stand_between_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTROOM_STRIPE__WEBHOOK_SECRETS", "whsec_one, whsec_two,")
    monkeypatch.setenv("POSTROOM_EMAIL__FROM", "a@example.com")
    settings = load_settings()
    assert [each.get_secret_value() for each in settings.stripe.webhook_secrets] == ["whsec_one", "whsec_two"]
    assert settings.email.sender == "a@example.com"


def test_all_faults_are_listed_at_once_and_no_value_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTROOM_PORT", "hunter2")
    monkeypatch.setenv("POSTROOM_EMAIL__TIMEOUT_S", "-3")
    monkeypatch.setenv("POSTROOM_ENV", "staging")
    with pytest.raises(SettingsInvalid) as refused:
        load_settings()
    text = "\n".join(refused.value.faults)
    for name in ("POSTROOM_PORT", "POSTROOM_EMAIL__TIMEOUT_S", "POSTROOM_ENV"):
        assert name in text
    assert "hunter2" not in text


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("EMAIL__EVENTS_SES_TOPICS", "not the ARN of an SNS topic, such as arn:aws:sns:"),
        ("STRIPE__WEBHOOK_URL", "not a URL such as https://"),
        ("STRIPE__API_VERSION", "not a version of the API, such as "),
        ("STRIPE__ACCOUNTS__E_U", "not a name of letters"),
    ],
)
def test_a_text_of_another_form_is_refused_with_an_example(
    monkeypatch: pytest.MonkeyPatch, name: str, wanted: str
) -> None:
    monkeypatch.setenv(f"POSTROOM_{name}", "{}")  # no text of these forms, but an account without settings
    with pytest.raises(SettingsInvalid) as refused:
        load_settings()
    [fault] = refused.value.faults
    assert fault.startswith(f"POSTROOM_{name}: {wanted}")


@pytest.mark.parametrize("stripe_is_on", STRIPE_IS_ON)
def test_prod_names_everything_that_is_missing(monkeypatch: pytest.MonkeyPatch, stripe_is_on: str) -> None:
    monkeypatch.setenv("POSTROOM_ENV", "prod")
    monkeypatch.setenv(stripe_is_on, "rk_live_" + "x" * 16)
    with pytest.raises(SettingsInvalid) as refused:
        load_settings()
    faults = " ".join(refused.value.faults)
    for name in ("POSTROOM_DATABASE_URL", "POSTROOM_METRICS_TOKEN", "POSTROOM_STRIPE__WEBHOOK_SECRETS"):
        assert f"{name}: needed with POSTROOM_ENV=prod" in faults


def test_prod_names_what_is_missing_beside_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTROOM_ENV", "prod")
    monkeypatch.setenv("POSTROOM_PORT", "eighty")
    monkeypatch.setenv("POSTROOM_ROUTES", "routes.toml")
    with pytest.raises(SettingsInvalid) as refused:
        load_settings()
    assert [fault.partition(":")[0] for fault in refused.value.faults] == [
        "POSTROOM_PORT",
        "POSTROOM_DATABASE_URL",
        "POSTROOM_METRICS_TOKEN",
        "POSTROOM_STRIPE__WEBHOOK_SECRETS",
    ]


def test_prod_without_stripe_needs_no_secret_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTROOM_ENV", "prod")
    monkeypatch.setenv("POSTROOM_DATABASE_URL", SECRET)
    monkeypatch.setenv("POSTROOM_METRICS_TOKEN", "m" * 16)
    assert load_settings().prod


@pytest.mark.parametrize(
    ("key", "livemode", "live"),
    [
        ("sk_live_", None, True),
        ("rk_live_", None, True),
        ("sk_test_", None, False),
        ("rk_test_", None, False),
        ("sk_org_live_", None, True),
        ("sk_live_", "true", True),
        (None, "true", True),
        (None, "false", False),
    ],
)
def test_the_mode_is_the_api_keys_or_set(
    monkeypatch: pytest.MonkeyPatch, key: str | None, livemode: str | None, live: bool
) -> None:
    in_prod_with_stripe(monkeypatch, key, livemode)
    assert load_settings().stripe.live is live


@pytest.mark.parametrize(
    ("key", "livemode", "name"),
    [
        (None, None, "POSTROOM_STRIPE__LIVEMODE: needed"),
        ("key_of_somebody_", None, "POSTROOM_STRIPE__LIVEMODE: needed"),
        ("sk_test_", "true", "POSTROOM_STRIPE__API_KEY: a key of test mode"),
        ("rk_live_", "false", "POSTROOM_STRIPE__API_KEY: a key of live mode"),
    ],
)
def test_prod_is_of_one_mode(
    monkeypatch: pytest.MonkeyPatch, key: str | None, livemode: str | None, name: str
) -> None:
    in_prod_with_stripe(monkeypatch, key, livemode)
    with pytest.raises(SettingsInvalid) as refused:
        load_settings()
    [fault] = refused.value.faults
    assert fault.startswith(name)


def test_further_accounts_are_read_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    in_prod_with_stripe(monkeypatch, "sk_live_", None)
    monkeypatch.setenv(
        "POSTROOM_STRIPE__ACCOUNTS__EU__WEBHOOK_SECRETS", "whsec_" + "c3" * 16 + ", whsec_" + "d4" * 16
    )
    monkeypatch.setenv("POSTROOM_STRIPE__ACCOUNTS__EU__API_KEY", "rk_test_" + "e5" * 12)
    eu = load_settings().stripe.by_name()["eu"]
    assert (len(eu.webhook_secrets), eu.live) == (2, False)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        (
            {"EU__WEBHOOK_SECRETS": "whsec_" + "a1" * 16, "EU__LIVEMODE": "true"},
            "EU__WEBHOOK_SECRETS: another account",
        ),
        ({"EU__WEBHOOK_SECRETS": "whsec_" + "c3" * 16}, "EU__LIVEMODE: needed"),
        ({"EU__LIVEMODE": "true"}, "EU__WEBHOOK_SECRETS: needed"),
        (
            {"EU__WEBHOOK_SECRETS": "wrong", "EU__LIVEMODE": "true"},
            "EU__WEBHOOK_SECRETS: does not begin with whsec_",
        ),
        ({"EU_1__LIVEMODE": "true"}, "EU_1"),
        ({"SELF__LIVEMODE": "true"}, "SELF__"),
        ({"EU__API_KEEY": "rk_live_1"}, "EU__API_KEEY"),
    ],
)
def test_what_is_wrong_with_a_further_account_is_named(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], name: str
) -> None:
    in_prod_with_stripe(monkeypatch, "sk_live_", None)
    for setting, value in settings.items():
        monkeypatch.setenv(f"POSTROOM_STRIPE__ACCOUNTS__{setting}", value)
    with pytest.raises(SettingsInvalid) as refused:
        load_settings()
    assert any(fault.startswith(f"POSTROOM_STRIPE__ACCOUNTS__{name}") for fault in refused.value.faults), (
        refused.value.faults
    )


def in_prod_with_stripe(monkeypatch: pytest.MonkeyPatch, key: str | None, livemode: str | None) -> None:
    monkeypatch.setenv("POSTROOM_ENV", "prod")
    monkeypatch.setenv("POSTROOM_DATABASE_URL", SECRET)
    monkeypatch.setenv("POSTROOM_METRICS_TOKEN", "m" * 16)
    monkeypatch.setenv("POSTROOM_STRIPE__WEBHOOK_SECRETS", "whsec_" + "a1" * 16)
    if key is not None:
        monkeypatch.setenv("POSTROOM_STRIPE__API_KEY", key + "b2" * 12)
    if livemode is not None:
        monkeypatch.setenv("POSTROOM_STRIPE__LIVEMODE", livemode)


def test_a_name_that_is_no_setting_is_found_with_the_one_that_was_meant() -> None:
    environment = {
        "POSTROOM_EMAIL__FORM": "a@example.com",
        "POSTROOM_ROUTE": "routes.toml",
        "POSTROOM_NONSENSE_OF_SOMEBODY": "1",
        **dict.fromkeys(("POSTROOM_PORT", "POSTROOM_EMAIL__FROM", "POSTROOM_EXPORTS__OPTIONS__REGION"), "x"),
        **dict.fromkeys(("POSTROOM_TEST_FLAVOUR", "POSTROOM_API_SERVICE_HOST", "POSTROOM_PORT_80_TCP"), "x"),
        "HOME": "/root",
    }
    assert unknown_names(environment) == {
        "POSTROOM_EMAIL__FORM": "POSTROOM_EMAIL__FROM",
        "POSTROOM_NONSENSE_OF_SOMEBODY": None,
        "POSTROOM_ROUTE": "POSTROOM_ROUTES",
    }


def test_secrets_are_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTROOM_DATABASE_URL", SECRET)
    monkeypatch.setenv("POSTROOM_EMAIL__URL", "smtp://user:hunter2@host")
    settings = load_settings()
    assert "hunter2" not in repr(settings) + str(settings.model_dump())


def test_proxies_are_addresses_and_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTROOM_TRUSTED_PROXIES", " 10.0.0.0/8, 192.0.2.7,, fd00::/8 ")
    assert [str(each) for each in load_settings().trusted_proxies] == [
        "10.0.0.0/8",
        "192.0.2.7/32",
        "fd00::/8",
    ]
    monkeypatch.setenv("POSTROOM_TRUSTED_PROXIES", "")
    assert load_settings().trusted_proxies == ()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("*", "no limit on an address holds"),
        ("10.0.0.1, 0.0.0.0/0", "no limit on an address holds"),
        ("::/0", "no limit on an address holds"),
        ("10.0.0.1/8", "entry 1 is no address and no CIDR"),
        ("10.0.0.1, proxy.internal", "entry 2 is no address and no CIDR"),
    ],
)
def test_proxies_that_let_everybody_lie_are_refused(
    monkeypatch: pytest.MonkeyPatch, text: str, why: str
) -> None:
    monkeypatch.setenv("POSTROOM_TRUSTED_PROXIES", text)
    with pytest.raises(SettingsInvalid, match=why):
        load_settings()
