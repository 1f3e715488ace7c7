"""Settings: one source, the environment. All faults are listed at once; secrets are never printed."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from postroom.base.encryption_keys import parse_keys
from postroom.base.errors import SettingsInvalid

UP_ENVIRONMENT: Final = "environment"
"""The file in the state folder that holds the settings of a running `postroom up`."""


STRIPE_IS_ON: Final = ("POSTROOM_STRIPE__API_KEY", "POSTROOM_ROUTES", "POSTROOM_HANDLERS")
"""Each of these alone says that Stripe's events are awaited."""


class Environment(StrEnum):
    DEV = "dev"
    PROD = "prod"


def _default_state_dir() -> Path:
    home = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(home) / "postroom"


class StripeSettings(BaseModel):
    """Stripe in. `webhook_secrets` absent means that Stripe is off."""

    webhook_secrets: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    api_key: SecretStr | None = None
    api_base: str = "https://api.stripe.com"
    livemode: bool | None = None
    tolerance_s: int = Field(default=300, ge=1, le=86_400)
    body_bytes_max: int = Field(default=1_048_576, ge=1_024)
    timeout_s: float = Field(default=10.0, gt=0, le=80)

    @field_validator("webhook_secrets", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value


class EmailSettings(BaseModel):
    """Mail out. `url` absent means that emails wait as deferred, and `doctor` says so."""

    url: SecretStr | None = None
    sender: str = Field(default="Postroom <postroom@localhost>", alias="from")
    templates_dir: Path | None = None
    connections_max: int = Field(default=8, ge=1, le=100)
    timeout_s: float = Field(default=20.0, gt=0, le=120)
    attempts_max: int = Field(default=12, ge=1, le=100)
    attachments_bytes_max: int = Field(default=10_485_760, ge=0)
    tls_ca: Path | None = None

    model_config = {"populate_by_name": True}


class WebhookSettings(BaseModel):
    """Webhooks out. `steps_s`: how long it waits before each next attempt, comma-separated, each ±20 %."""

    allow_private: bool = False
    connections_per_host: int = Field(default=20, ge=1, le=1_000)
    timeout_s: float = Field(default=15.0, gt=0, le=120)
    steps_s: Annotated[tuple[Annotated[float, Field(gt=0, le=864_000)], ...], NoDecode] = Field(
        default=(5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 36_000.0), min_length=1, max_length=50
    )

    @field_validator("steps_s", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return value.split(",") if isinstance(value, str) else value


class ExportSettings(BaseModel):
    """Exports out. `url` absent means files below the state folder."""

    url: str | None = None
    records_max: int = Field(default=1_000, ge=1, le=100_000)
    options: dict[str, str] = Field(default_factory=dict, repr=False)


class RetentionSettings(BaseModel):
    """How long finished work is kept, in days."""

    delivered_payload_days: int = Field(default=30, ge=1)
    dead_payload_days: int = Field(default=90, ge=1)
    message_days: int = Field(default=400, ge=31)
    attempt_days: int = Field(default=90, ge=1)
    audit_days: int = Field(default=730, ge=31)


class EncryptionSettings(BaseModel):
    """Payloads at rest. `keys`: `name:base64` of 32 bytes each; the first one encrypts, all open."""

    keys: Annotated[tuple[SecretStr, ...], NoDecode] = ()

    @field_validator("keys", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            value = tuple(part.strip() for part in value.split(",") if part.strip())
            parse_keys(value)
        return value


class OidcSettings(BaseModel):
    """Signing in to the console through an OpenID Connect provider; `issuer` absent means not.

    `scopes`: what each value of the claim may do; `*` stands for everybody.
    """

    issuer: str | None = None
    client_id: str = ""
    client_secret: SecretStr = SecretStr("")
    claim: str = "groups"
    scopes: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    redirect_url: str | None = None


class Settings(BaseSettings):
    """Everything that can be set, read from `POSTROOM_*`."""

    model_config = SettingsConfigDict(env_prefix="POSTROOM_", env_nested_delimiter="__", extra="ignore")

    database_url: SecretStr | None = None
    database_pooler: bool = False
    database_connections_max: int = Field(default=10, ge=2, le=200)
    env: Environment = Environment.DEV
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65_535)
    state_dir: Path = Field(default_factory=_default_state_dir)
    metrics_token: SecretStr | None = None
    log_json: bool | None = None
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    routes: Path | None = None
    handlers: Path | None = None
    stripe: StripeSettings = StripeSettings()
    email: EmailSettings = EmailSettings()
    webhook: WebhookSettings = WebhookSettings()
    exports: ExportSettings = ExportSettings()
    retention: RetentionSettings = RetentionSettings()
    encryption: EncryptionSettings = EncryptionSettings()
    oidc: OidcSettings = OidcSettings()

    @property
    def prod(self) -> bool:
        return self.env is Environment.PROD

    @property
    def json_lines(self) -> bool:
        """How a process that serves or works writes its log."""
        return self.prod if self.log_json is None else self.log_json

    @model_validator(mode="after")
    def _complete_in_prod(self) -> Self:
        if not self.prod:
            return self
        stripe_is_on = self.stripe.api_key or self.routes or self.handlers
        missing = [
            name
            for name, absent in (
                ("POSTROOM_DATABASE_URL", self.database_url is None),
                ("POSTROOM_METRICS_TOKEN", self.metrics_token is None),
                ("POSTROOM_STRIPE__WEBHOOK_SECRETS", stripe_is_on and not self.stripe.webhook_secrets),
            )
            if absent
        ]
        if missing:
            raise ValueError(f"needed with POSTROOM_ENV=prod: {', '.join(missing)}")
        return self


def load_settings() -> Settings:
    """Read and check the environment.

    Errors: `SettingsInvalid` with one line a fault, none of which holds a value.
    """
    try:
        return Settings()
    except ValidationError as error:
        faults = [_fault(e["loc"], e["msg"]) for e in error.errors()]
        if os.environ.get("POSTROOM_ENV") == Environment.PROD and all(e["loc"] for e in error.errors()):
            # pydantic looks at single fields first, and at what is missing only when they are all right.
            needed = ["POSTROOM_DATABASE_URL", "POSTROOM_METRICS_TOKEN"]
            if any(name in os.environ for name in STRIPE_IS_ON):
                needed.append("POSTROOM_STRIPE__WEBHOOK_SECRETS")
            faults += [f"{name}: needed with POSTROOM_ENV=prod" for name in needed if name not in os.environ]
        raise SettingsInvalid(faults) from None


def _fault(location: tuple[int | str, ...], message: str) -> str:
    name = "POSTROOM_" + "__".join(str(part).upper() for part in location) if location else "settings"
    return f"{name}: {message.removeprefix('Value error, ')}"
