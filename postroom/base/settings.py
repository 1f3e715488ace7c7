"""Settings: one source, the environment. All faults are listed at once; secrets are never printed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from postroom.base.broker_settings import Brokers
from postroom.base.email_settings import EmailSettings, bounces_faults, route_faults
from postroom.base.encryption_keys import REQUIRED_SETTING, SETTING, parse_keys
from postroom.base.errors import SettingsInvalid
from postroom.base.export_settings import ExportSettings, destination_faults
from postroom.base.ledger_settings import LEDGERS, LedgerName, LedgerSettings, ledger_faults
from postroom.base.networks import Network, parse_proxies
from postroom.base.oidc_settings import OidcSettings
from postroom.base.secret_rules import DATABASE_URL, RULES, is_local, secret_faults, unverified_faults
from postroom.base.setting_files import SettingFiles, read_files, setting_of
from postroom.base.stripe_settings import StripeSettings, account_faults
from postroom.base.task_settings import TaskSettings

UP_ENVIRONMENT: Final = "environment"
"""The file in the state folder that holds the settings of a running `postroom up`."""


STRIPE_IS_ON: Final = ("POSTROOM_STRIPE__API_KEY", "POSTROOM_ROUTES")
"""Each of these alone says that Stripe's events are awaited."""

TOKEN_DAYS: Final = 90
"""Of an access token in prod."""

_FILES: Final = "read_files"
"""No setting, but an argument: files that were read already."""


class Environment(StrEnum):
    DEV = "dev"
    PROD = "prod"


def _default_state_dir() -> Path:
    home = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(home) / "postroom"


class WebhookSettings(BaseModel):
    """Webhooks out."""

    allow_private: bool = False
    """Let webhooks go to every private address. Then nothing protects your network from them."""
    allow_networks: Annotated[tuple[Network, ...], NoDecode] = ()
    """Private networks that webhooks may go to, comma-separated: `10.20.0.0/16,fd00:1::/64`."""
    allow_http: bool | None = None
    """Let webhooks go to `http://`, where anybody on the way reads them. Unset: in `dev` only."""
    brokers: Brokers = Field(default_factory=dict)
    """Brokers that urls of endpoints may name, and which tenants may, as JSON:
    `{"nats://nats.example.com:4222": ["acme"]}`; `"*"` is every tenant. Unset: none."""
    brokers_ca: Path | None = None
    """A PEM file of further authorities for certificates of brokers. Kafka's client does not read it."""
    identify: bool = True
    """Send `postroom-correlation-id`, `traceparent` and our name in `user-agent`. `false` where receivers
    are strangers."""
    connections_per_host: int = Field(default=20, ge=1, le=1_000)
    """In flight to one receiver, per process."""
    timeout_s: float = Field(default=15.0, gt=0, le=120)
    """Limit of one attempt."""
    steps_s: Annotated[tuple[Annotated[float, Field(gt=0, le=864_000)], ...], NoDecode] = Field(
        default=(5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 36_000.0), min_length=1, max_length=50
    )
    """Seconds before each next attempt, comma-separated, each ±20 %. After the last one a webhook is dead."""

    age_max_days: float = Field(default=5.0, gt=0, le=3_650)
    """A webhook that has waited for so long is not sent any more: it dies with the cause `expired`."""
    disable_after_days: float = Field(default=5.0, gt=0, le=3_650)
    """An endpoint that has only failed for so long is disabled: nothing new is queued for it."""
    parked_max_days: float = Field(default=30.0, gt=0, le=3_650)
    """What waits for a parked endpoint dies after so long, with the cause `expired`."""

    @property
    def private(self) -> bool | tuple[Network, ...]:
        """Which private addresses webhooks may go to: all, none, or those of some networks."""
        return self.allow_private or self.allow_networks or False

    @property
    def http(self) -> bool:
        return self.allow_http is not False

    @field_validator("steps_s", "allow_networks", mode="before")
    @classmethod
    def _split(cls, value: object, info: ValidationInfo) -> object:
        if value == "" and info.field_name == "allow_networks":
            return ()
        return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


class RetentionSettings(BaseModel):
    """How long finished work is kept, in days."""

    delivered_payload_days: int = Field(default=30, ge=1)
    """Then the payload of a delivered message is emptied."""
    dead_payload_days: int = Field(default=90, ge=1)
    """Then a dead letter is given up."""
    message_days: int = Field(default=400, ge=31)
    """Then the message itself is removed; its key may be used again."""
    attempt_days: int = Field(default=90, ge=1)
    """Then the partition of the attempt log is dropped."""
    audit_days: int = Field(default=730, ge=31)
    """Then an entry of the audit trail is removed."""


class EncryptionSettings(BaseModel):
    """Encryption of payloads at rest."""

    keys: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    """`name:v2:base64` of 32 bytes each, comma-separated; `postroom encryption new-key NAME` makes one. The
    first one encrypts, all decrypt. Every process needs the same."""

    required_from: AwareDatetime | None = None
    """From then on nothing is believed that lies open in the database (`2027-01-31T00:00:00Z`): not payloads,
    secrets of endpoints or hashes of tokens. Unset: they are. It needs a first key with `v2`."""
    open_channels: Annotated[
        tuple[Literal["email", "webhook", "export", "stripe_api", "task"], ...], NoDecode
    ] = ()
    """Channels whose payloads may lie open all the same, comma-separated, because somebody publishes to them
    by SQL. The job `sealing` encrypts them."""

    @field_validator("keys", "open_channels", mode="before")
    @classmethod
    def _split(cls, value: object, info: ValidationInfo) -> object:
        if isinstance(value, str):
            value = tuple(part.strip() for part in value.split(",") if part.strip())
            if info.field_name == "keys":
                parse_keys(value)
        return value


class Settings(BaseSettings):
    """Everything that can be set, read from `POSTROOM_*`."""

    model_config = SettingsConfigDict(env_prefix="POSTROOM_", env_nested_delimiter="__", extra="ignore")

    database_url: SecretStr | None = None
    """PostgreSQL 14 or newer. Several hosts and `target_session_attrs` are understood. Unset: a local server,
    in `dev` only."""
    ledgers: dict[LedgerName, LedgerSettings] = Field(default_factory=dict)
    """Several databases, each with a ledger, in place of the one: `POSTROOM_LEDGERS__EU__URL` and so on, see
    below."""
    ledger: str | None = None
    """The one of them that a command is about: what `--ledger` sets. Unset: `serve`, `work`, `migrate` and
    `doctor` are about all of them, other commands ask for it."""
    database_pooler: bool = False
    """PgBouncer in transaction mode stands between: nothing is kept per connection, and wake-ups are polled.
    """
    database_standbys_may_lag: bool = False
    """Standbys are there to be read from, or losing the last commits in a fail-over is accepted: the alert
    ReplicationNotSynchronous stays quiet."""
    database_unverified: bool = False
    """In `prod`, let a database on another host be reached without `sslmode=verify-full`: where the network
    between is yours alone, such as one of compose."""
    database_connections_max: int = Field(default=10, ge=2, le=200)
    """Connections, per process and ledger."""
    env: Environment = Environment.DEV
    """`dev` or `prod`."""
    host: str = "127.0.0.1"
    """Address on which `postroom serve` listens."""
    dev_on_network: bool = False
    """Let `dev` listen on an address that others reach, though it asks for less."""
    port: int = Field(default=8000, ge=0, le=65_535)
    """Port on which `postroom serve` listens."""
    http_connections_max: int = Field(default=1_000, ge=10, le=100_000)
    """Connections to `postroom serve`, per process. One more closes the one that has kept us waiting longest,
    or gets 503."""
    trusted_proxies: Annotated[tuple[Network, ...], NoDecode] = ()
    """Addresses and CIDRs of your proxies, comma-separated; from nobody else are `X-Forwarded-For` and
    `X-Forwarded-Proto` believed. Unset, all who come through a proxy are one address."""
    state_dir: Path = Field(default_factory=_default_state_dir)
    """Local database, logs, exports."""
    metrics_token: SecretStr | None = None
    """Bearer token of `/metrics`, of 16 characters at least: `openssl rand -hex 24`."""
    token_days: int | None = Field(default=None, ge=1, le=3_650)
    """Days after which a new access token ends, if not told. Unset: 90 in `prod`, in `dev` never."""
    log_json: bool | None = None
    """One JSON object a line. Unset: in `prod` only."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """`debug`, `info`, `warning` or `error`. From `warning` on, a delivery that succeeds at the first attempt
    writes no line."""
    routes: Path | None = None
    """The routes file. Checked at start, with everything that its channels would
    refuse."""
    handlers: Annotated[tuple[str, ...], NoDecode] = ()
    """Python files and modules with handlers and tasks, comma-separated: `handlers.py,shop.tasks`."""
    stripe: StripeSettings = StripeSettings()
    email: EmailSettings = EmailSettings()
    webhook: WebhookSettings = WebhookSettings()
    exports: ExportSettings = ExportSettings()
    tasks: TaskSettings = TaskSettings()
    retention: RetentionSettings = RetentionSettings()
    encryption: EncryptionSettings = EncryptionSettings()
    oidc: OidcSettings = OidcSettings()
    _files: SettingFiles = PrivateAttr(SettingFiles({}, ()))

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  named as they are called
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment, and what it names, as it was read by whoever loads the settings."""
        if isinstance(env_settings, EnvSettingsSource) and isinstance(init_settings, InitSettingsSource):
            files = init_settings.init_kwargs.get(_FILES) or read_files(os.environ)
            texts = {name.lower(): text for name, text in files.texts.items()}
            named = env_settings.env_vars.items()
            itself = {name: text for name, text in named if setting_of(name.upper()) == name.upper()}
            env_settings.env_vars = {**texts, **itself}
        return init_settings, env_settings

    @field_validator("ledgers")
    @classmethod
    def _in_order(cls, value: dict[str, LedgerSettings]) -> dict[str, LedgerSettings]:
        return dict(sorted(value.items()))

    @field_validator("handlers", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _parse_proxies(cls, value: object) -> object:
        return parse_proxies(value) if isinstance(value, str) else value

    serves: ClassVar[bool] = True
    """Whether callers come in: secrets that only they need may be kept from other processes."""

    @property
    def files(self) -> SettingFiles:
        """What `load_settings` read them from."""
        return self._files

    def of_ledger(self, name: str) -> Self:
        """Settings of an installation that has this ledger alone: its database, its accounts of Stripe's, a
        folder for its exports.

        They share nothing with ours, so secrets can be replaced in them. Errors: `KeyError`.
        """
        chosen = self.model_copy(deep=True)
        chosen.ledger, chosen.ledgers, chosen.database_url = name, {}, self.ledgers[name].url
        chosen.exports.layout = f"ledger={name}/{chosen.exports.layout}"
        chosen.stripe, chosen.email = chosen.stripe.of_ledger(name), chosen.email.of_ledger(name)
        chosen.tasks.schedules = self.tasks.schedules and name == next(iter(self.ledgers))
        return chosen

    @property
    def prod(self) -> bool:
        return self.env is Environment.PROD

    @property
    def token_lifetime(self) -> timedelta | None:
        """Of a new access token that does not say itself when it ends."""
        days = TOKEN_DAYS if self.token_days is None and self.prod else self.token_days
        return None if days is None else timedelta(days=days)

    @property
    def json_lines(self) -> bool:
        """How a process that serves or works writes its log."""
        return self.prod if self.log_json is None else self.log_json

    @model_validator(mode="after")
    def _nothing_open(self) -> Self:
        faults = [
            *secret_faults(_texts(self), needed=_needed(self), prod=self.prod),
            *_open_doors(self),
            *account_faults(self.stripe, prod=self.prod, serves=self.serves),
            *ledger_faults(
                self.ledgers,
                chosen=self.ledger,
                database_url=self.database_url,
                stripe=self.stripe,
                mailbox=self.email.bounces_url is not None,
                prod=self.prod,
                unverified=self.database_unverified,
            ),
            *bounces_faults(self.email),
            *route_faults(self.email),
            *destination_faults(self.exports),
            *_key_faults(self.encryption),
        ]
        if faults:
            raise ValueError("\n".join(faults))
        if self.prod and self.webhook.allow_http is None:
            self.webhook = self.webhook.model_copy(update={"allow_http": False})
        return self


class WorkerSettings(Settings):
    """Of a process that serves nobody, such as the runner and the migration."""

    serves = False


def _texts(settings: Settings) -> dict[str, str]:
    """The secrets that were set, as they would stand in the environment."""
    texts = {}
    for name in RULES:
        outer, _, inner = name.removeprefix("POSTROOM_").lower().partition("__")
        model: BaseModel = getattr(settings, outer) if inner else settings
        field = inner or outer
        value = getattr(model, field)
        if field in model.model_fields_set and value is not None:
            secrets = value.values() if isinstance(value, dict) else value
            secrets = secrets if isinstance(value, (dict, tuple)) else (value,)
            texts[name] = ",".join(
                each if isinstance(each, str) else each.get_secret_value() for each in secrets
            )
    return texts


def _needed(settings: Settings) -> set[str]:
    """The secrets without which nothing that is on would work."""
    needed = set[str]() if settings.ledgers else {DATABASE_URL}
    if not settings.serves:
        return needed
    needed.add("POSTROOM_METRICS_TOKEN")
    routed = settings.routes and not settings.stripe.on
    if settings.stripe.api_key or routed:
        needed.add("POSTROOM_STRIPE__WEBHOOK_SECRETS")
    if settings.oidc.issuer:
        needed.add("POSTROOM_OIDC__CLIENT_SECRET")
    return needed


def _open_doors(settings: Settings) -> Iterator[str]:
    local = settings.host != "" and is_local(settings.host)
    if not (settings.prod or settings.dev_on_network or local):
        yield (
            "POSTROOM_HOST: with POSTROOM_ENV=dev others on the network reach what dev leaves open; "
            "export POSTROOM_ENV=prod, or POSTROOM_DEV_ON_NETWORK=true if you mean it"
        )
    if settings.prod and settings.database_url and not settings.database_unverified:
        yield from unverified_faults(DATABASE_URL, settings.database_url.get_secret_value())


def _key_faults(encryption: EncryptionSettings) -> Iterator[str]:
    keys = parse_keys(key.get_secret_value() for key in encryption.keys)
    if encryption.required_from is not None and not (keys and keys[0].derives):
        yield (
            f"{REQUIRED_SETTING}: needs a first key of the form name:v2:base64 in {SETTING}; make one: "
            "postroom encryption new-key NAME"
        )


def load_settings(*, serves: bool = True, files: SettingFiles | None = None) -> Settings:
    """Read and check the environment, and the files that it names. `serves`: see `Settings`.

    Returns: those of one ledger where `POSTROOM_LEDGER` chooses it.
    `files`: as somebody has read them already. Errors: `SettingsInvalid` with one line a fault, none of
    which holds a value.
    """
    files = read_files(os.environ) if files is None else files
    faults, read = list(files.faults), dict[str, Any]({_FILES: files})
    try:
        settings = Settings(**read) if serves else WorkerSettings(**read)
    except ValidationError as error:
        faults += [fault for e in error.errors() for fault in _faults(e["loc"], e["msg"])]
        if all(e["loc"] for e in error.errors()):
            # pydantic looks at single fields first, and at the whole only when they are all right.
            told = {**files.texts, **os.environ}
            needed = {"POSTROOM_METRICS_TOKEN"} if serves else set()
            if not any(name.startswith(f"{LEDGERS}__") for name in told):
                needed.add(DATABASE_URL)
            if serves and any(name in told for name in STRIPE_IS_ON):
                needed.add("POSTROOM_STRIPE__WEBHOOK_SECRETS")
            prod = told.get("POSTROOM_ENV") == Environment.PROD
            faults += secret_faults(told, needed=needed, prod=prod)
        raise SettingsInvalid(faults) from None
    if faults:
        raise SettingsInvalid(faults)
    settings._files = files
    return settings if settings.ledger is None else settings.of_ledger(settings.ledger)


def _faults(location: tuple[int | str, ...], message: str) -> list[str]:
    text = message.removeprefix("Value error, ")
    if not location:
        return text.splitlines()
    # Numbers are places in a list, which is one setting; "[key]" says that the name before it is wrong.
    named = [part.upper() for part in location if isinstance(part, str) and part != "[key]"]
    name = "POSTROOM_" + "__".join(named)
    return [f"{name}: {text}"]
