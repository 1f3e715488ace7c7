"""Settings of signing in through an OpenID Connect provider."""

from __future__ import annotations

from pydantic import BaseModel, Field, SecretStr


class OidcSettings(BaseModel):
    """Signing in to the console through an OpenID Connect provider."""

    issuer: str | None = None
    """The provider's address. Unset: off."""
    client_id: str = ""
    """Of a confidential client with the code flow."""
    client_secret: SecretStr = SecretStr("")
    """Its secret."""
    claim: str = "groups"
    """The claim that says what somebody is."""
    scopes: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """What each value of the claim may do, scopes or roles, as JSON: `{"sre": ["on-call"]}`; `*` stands for
    everybody."""
    redirect_url: str | None = None
    """`https://…/console/oidc/return`, where a proxy changes the address."""
