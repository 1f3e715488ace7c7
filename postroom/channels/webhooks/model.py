"""What a webhook endpoint is, as people see it and as the adapter needs it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from pydantic import SecretStr

from postroom.encryption.keyring import Unreadable

ENDPOINTS_PER_TENANT_MAX = 100
RESPONSE_BYTES_MAX = 20_000
WAITING_COUNT_MAX = 10_000


class EndpointState(StrEnum):
    """Parked: what is published for it waits. Disabled: that is not even queued."""

    ENABLED = "enabled"
    PARKED = "parked"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One receiver of a tenant, without its secret.

    `waiting`: deliveries held back because it is parked, counted up to 10,000. `failing_since`: from then on
    it has only failed. `release_pace`: deliveries a second at which what waited is let go.
    `previous_secret_until`: until then every delivery carries the previous signature too.
    """

    id: UUID
    tenant: str
    url: str
    types: tuple[str, ...]
    description: str
    state: EndpointState
    parked_reason: str | None
    previous_secret_until: datetime | None
    created_at: datetime
    updated_at: datetime
    waiting: int
    failing_since: datetime | None
    disabled_at: datetime | None
    release_pace: float | None


@dataclass(frozen=True, slots=True)
class EndpointSecret:
    """An endpoint with its secret: shown at creation and rotation, never again."""

    endpoint: Endpoint
    secret: SecretStr


@dataclass(frozen=True, slots=True)
class Target:
    """Where one delivery goes. `signing`: its secrets, or why they cannot be read."""

    url: str
    signing: tuple[SecretStr, ...] | Unreadable
    state: EndpointState = EndpointState.ENABLED
    failing_since: datetime | None = None

    @property
    def secrets(self) -> tuple[SecretStr, ...]:
        """The current one first, then the previous one while it is valid. Errors: `Unreadable`."""
        if isinstance(self.signing, Unreadable):
            raise self.signing
        return self.signing
