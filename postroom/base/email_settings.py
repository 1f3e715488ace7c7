"""Settings of the channel email."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr, SecretStr, field_validator
from pydantic_settings import NoDecode

from postroom.base.setting_forms import of_form

TopicArn = Annotated[
    str,
    of_form(
        r"arn:(aws|aws-cn|aws-us-gov):sns:[a-z0-9-]{3,30}:[0-9]{12}:[A-Za-z0-9_.-]+",
        "the ARN of an SNS topic, such as arn:aws:sns:eu-west-1:123456789012:mail-events",
    ),
]

ReturnPath = Annotated[
    str,
    of_form(
        r"[a-z0-9._+=-]{0,16}\*@[a-z0-9.-]{1,190}",
        "an address with a * at its end, such as bounces+*@mail.shop.example: in lower case, 16 characters "
        "before the * at most",
    ),
]


class EmailSender(BaseModel):
    """Whom a tenant's mails come from, and where answers go."""

    sender: str = Field(alias="from")
    reply_to: str | None = None

    model_config = {"populate_by_name": True, "extra": "forbid"}


Locale = Annotated[
    str,
    of_form(
        r"(de|en|es|fr|it|ja|nl|pt)([-_][A-Za-z]{2})?",
        "a language that mails are written in (de, en, es, fr, it, ja, nl, pt), with a country or without, "
        "such as de-AT",
    ),
]


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (LookupError, OSError, ValueError):
        raise ValueError("not a time zone such as Europe/Berlin") from None
    return value


class EmailSellerSettings(BaseModel):
    """Who sends receipts and invoices, unless it is a connected account."""

    name: str = Field(default="", max_length=200)
    """Your company. Unset: the `account_name` of the invoice."""
    address: str = Field(default="", max_length=500)
    """Its address, in one line or several."""
    tax_ids: Annotated[tuple[str, ...], NoDecode] = ()
    """Its tax numbers, comma-separated."""

    model_config = ConfigDict(extra="forbid")

    @field_validator("tax_ids", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return _parts(value)


def _parts(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


RouteName = Annotated[
    str, of_form(r"[a-z0-9_]{1,30}", "a name of small letters, digits and underscores, such as ses")
]


class EmailRoute(BaseModel):
    """One of several mail servers. Which one a mail goes through is decided by weight, among those that name
    its tenant or, where none does, among those that name nobody."""

    url: SecretStr
    """As `POSTROOM_EMAIL__URL`."""
    weight: float = Field(default=1.0, gt=0, le=1_000)
    """Its part of the mails, over the sum of all weights."""
    tenants: frozenset[str] = frozenset()
    """As JSON, `["acme"]`: their mails go by routes that name them only, and nobody else's do."""
    per_second: float | None = Field(default=None, gt=0, le=100_000)
    """So many mails a second, of all runners together; what exceeds it takes another route, or waits."""
    connections_max: int | None = Field(default=None, ge=1, le=100)
    """Connections to the server, per process. Unset: as of the channel."""
    provider: Literal["ses", "sendgrid", "mailgun", "postmark", "resend", "brevo"] | None = None
    """Whose server it is: mails that go there carry what its events name them by. Unset: what any provider
    needs whose events are taken."""

    model_config = ConfigDict(extra="forbid")


class EmailSettings(BaseModel):
    """Emails out. With neither a url nor routes they wait as deferred, and `postroom doctor` says so."""

    url: SecretStr | None = None
    """`smtp://` (no login), `smtps://` or `smtp+starttls://user:password@host:port`. Unset: emails wait."""
    routes: dict[RouteName, EmailRoute] = Field(default_factory=dict)
    """Several mail servers, in place of the url: `POSTROOM_EMAIL__ROUTES__SES__URL` and so on, see below."""
    sender: str = Field(default="Postroom <postroom@localhost>", alias="from")
    """The sender."""
    senders: dict[str, EmailSender] = Field(default_factory=dict)
    """A tenant's own, as JSON: `{"acme": {"from": "Acme <a@acme.example>", "reply_to": "b@acme.example"}}`"""
    unsubscribe_url: str | None = None
    """Where receivers reach this API, such as `https://mail.shop.example`: for mails that have a category."""
    unsubscribe_secrets: SecretStr | None = None
    """What those links are made with, comma-separated: the first makes new ones, all are believed."""
    events_ses_topics: Annotated[tuple[TopicArn, ...], NoDecode] = ()
    """ARNs of the SNS topics by which SES tells its events, comma-separated. See the page on email events."""
    events_sendgrid_keys: SecretStr | None = None
    """Verification keys of SendGrid's signed event webhook, comma-separated, as are the following four."""
    events_mailgun_keys: SecretStr | None = None
    """Mailgun's HTTP webhook signing key."""
    events_postmark_logins: SecretStr | None = None
    """`user:password` that Postmark sends."""
    events_resend_secrets: SecretStr | None = None
    """`whsec_…` of Resend's webhook."""
    events_brevo_logins: SecretStr | None = None
    """`user:password` that Brevo sends."""
    events_tenant: str | None = Field(default=None, min_length=1, max_length=200)
    """Whose endpoints get each event of a mail as a webhook (`email.bounced`, …). Unset: nobody's."""
    bounces_address: ReturnPath | None = None
    """Where bounces come back to, such as `bounces+*@mail.shop.example`; `*` becomes a mark of the mail."""
    bounces_secrets: SecretStr | None = None
    """What those marks are signed with, comma-separated: the first makes new ones, all are believed."""
    bounces_url: SecretStr | None = None
    """The mailbox they come to: `imaps://` or `imap+starttls://user:password@host/FOLDER`. Unset: unread."""
    templates_dir: Path | None = None
    """Your own templates; they take precedence over the shipped ones."""
    templates_apps: Literal["django"] | None = None
    """`django`: templates of the project that `DJANGO_SETTINGS_MODULE` names, too. Each of its apps may have
    a folder `mail_templates`; your own folder comes before them, then the first app wins."""
    locale: Locale | None = None
    """The language of mails that ask for none, such as `de` or `en-GB`. Unset: as the templates are."""
    zone: Annotated[str, AfterValidator(_zone)] | None = None
    """Whose days mails name, such as `Europe/Berlin`. Unset: UTC."""
    seller: EmailSellerSettings = EmailSellerSettings()
    """Who sends receipts and invoices."""
    connections_max: int = Field(default=8, ge=1, le=100)
    """Connections to the server, per process."""
    timeout_s: float = Field(default=20.0, gt=0, le=120)
    """Limit of one SMTP command."""
    attempts_max: int = Field(default=12, ge=1, le=100)
    """Attempts before an email is dead."""
    age_max_days: float = Field(default=3.0, gt=0, le=3_650)
    """An email that has waited for so long is not sent any more: it dies with the cause `expired`."""
    attachments_bytes_max: int = Field(default=10_485_760, ge=0)
    """All attachments of one email together."""
    tls_ca: Path | None = None
    """A PEM file of further certificate authorities to trust."""

    model_config = {"populate_by_name": True}

    _ledger: str | None = PrivateAttr(None)

    @property
    def ledger(self) -> str | None:
        """Of several ledgers, the one whose mails these settings are for."""
        return self._ledger

    def of_ledger(self, name: str) -> Self:
        chosen = self.model_copy(deep=True)
        chosen._ledger = name
        return chosen

    def all_routes(self) -> dict[str, EmailRoute]:
        """By name; that of `url` has none."""
        return {**self.routes} or ({"": EmailRoute(url=self.url)} if self.url else {})

    @field_validator("events_ses_topics", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return _parts(value)


def route_faults(email: EmailSettings) -> Iterator[str]:
    """What is wrong with the routes together."""
    if email.routes and email.url:
        yield "POSTROOM_EMAIL__URL: beside POSTROOM_EMAIL__ROUTES__… it leads nowhere; make it one of them"
    if email.routes and all(route.tenants for route in email.routes.values()):
        yield "POSTROOM_EMAIL__ROUTES: each names tenants, so mails of all others have no route"


def bounces_faults(email: EmailSettings) -> Iterator[str]:
    """What of the settings of bounces is missing beside the others."""
    if bool(email.bounces_address) != bool(email.bounces_secrets):
        yield "POSTROOM_EMAIL__BOUNCES_ADDRESS and POSTROOM_EMAIL__BOUNCES_SECRETS: one is of no use alone"
    elif email.bounces_url and not email.bounces_address:
        yield "POSTROOM_EMAIL__BOUNCES_URL: needs POSTROOM_EMAIL__BOUNCES_ADDRESS and …_SECRETS"
