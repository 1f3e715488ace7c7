"""OpenID Connect: what is asked of the provider, and what is believed of its answers."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import aiohttp
import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from yarl import URL

from postroom.admin.tokens import Scope, parse_scopes
from postroom.base.answers import read_answer
from postroom.base.clock import Clock
from postroom.base.errors import NotAllowed, NotAuthenticated, SettingsInvalid, Unavailable
from postroom.base.oidc_settings import OidcSettings

TIMEOUT_S: Final = 10.0
ANSWER_BYTES_MAX: Final = 262_144
DISCOVERY_S: Final = 3_600.0
FAILED_DISCOVERY_S: Final = 5.0
HANDSHAKE_S: Final = 600
LEEWAY_S: Final = 60
ALGORITHMS: Final = ["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA"]
PROVIDER_SCOPES: Final = "openid profile email"


class Handshake(msgspec.Struct, frozen=True):
    """What the browser keeps between leaving for the provider and coming back."""

    state: str
    nonce: str
    verifier: str
    place: str
    started_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Person:
    """Whom the provider vouches for, and what they may do here."""

    actor: str
    scopes: frozenset[str]


class OidcClient:
    """Promise: nobody gets in on a token that the provider did not sign for us, now, and for this browser.

    Does not promise: what somebody loses at the provider, a session that is open keeps until it ends.
    """

    def __init__(self, settings: OidcSettings, *, clock: Clock) -> None:
        """Errors: `SettingsInvalid` for scopes that do not exist or a client that has no id."""
        if not settings.client_id or not settings.scopes:
            raise SettingsInvalid(
                ["POSTROOM_OIDC__CLIENT_ID and POSTROOM_OIDC__SCOPES are needed with an issuer"]
            )
        for names in settings.scopes.values():
            parse_scopes(names)
        self._settings = settings
        self._clock = clock
        self._issuer = (settings.issuer or "").rstrip("/")
        self._found: tuple[float, dict[str, Any]] | None = None
        self._failed_s = float("-inf")
        self._discovering = asyncio.Lock()

    async def leave(self, *, redirect_url: str, place: str) -> tuple[str, Handshake]:
        """Where to send the browser, and what it is to bring back. Errors: `Unavailable`."""
        provider = await self._discover()
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        made = Handshake(state, nonce, verifier, place, self._clock.now().timestamp())
        asked = {
            "client_id": self._settings.client_id,
            "response_type": "code",
            "redirect_uri": redirect_url,
            "scope": PROVIDER_SCOPES,
            "state": made.state,
            "nonce": made.nonce,
            "code_challenge": _challenge(made.verifier),
            "code_challenge_method": "S256",
        }
        return str(URL(provider["authorization_endpoint"]).update_query(asked)), made

    def seal(self, made: Handshake) -> str:
        """What a cookie keeps; every process with the same client secret can open it."""
        text = msgspec.json.encode(made).hex()
        return f"{text}.{self._proof(text)}"

    def open(self, cookie: str) -> Handshake:
        """The handshake that we sealed lately. Errors: `NotAuthenticated`; nobody else's costs a request."""
        text, _, proof = cookie.partition(".")
        if hmac.compare_digest(proof.encode(), self._proof(text).encode()):
            kept = msgspec.json.decode(bytes.fromhex(text), type=Handshake)
            if self._clock.now().timestamp() - kept.started_s <= HANDSHAKE_S:
                return kept
        raise NotAuthenticated("this sign-in is too old, or began in another browser: start again")

    def _proof(self, text: str) -> str:
        secret = self._settings.client_secret.get_secret_value().encode()
        key = hmac.digest(secret, b"postroom console handshake", "sha256")
        return hmac.digest(key, text.encode(), "sha256").hex()

    async def arrive(self, *, code: str, state: str, kept: Handshake, redirect_url: str) -> Person:
        """Who came back. Errors: `NotAuthenticated`, `NotAllowed`, `Unavailable`."""
        if not hmac.compare_digest(state.encode(), kept.state.encode()):
            raise NotAuthenticated("this answer belongs to another sign-in: start again")
        provider = await self._discover()
        answer = await self._ask(
            provider["token_endpoint"],
            form={
                "grant_type": "authorization_code",
                "code": code,
                "redirect_uri": redirect_url,
                "code_verifier": kept.verifier,
            },
        )
        keys = await self._ask(provider["jwks_uri"])
        return self._person(self._claims(answer, keys, kept.nonce))

    def _claims(self, answer: dict[str, Any], keys: dict[str, Any], nonce: str) -> dict[str, Any]:
        registry = jwt.JWTClaimsRegistry(
            now=int(self._clock.now().timestamp()),
            leeway=LEEWAY_S,
            iss={"essential": True, "value": self._issuer},
            aud={"essential": True, "value": self._settings.client_id},
            nonce={"essential": True, "value": nonce},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
        )
        try:
            found: Any = keys  # a set of keys, or import refuses it
            token = jwt.decode(
                str(answer.get("id_token", "")), KeySet.import_key_set(found), algorithms=ALGORITHMS
            )
            registry.validate(token.claims)
        except (JoseError, ValueError) as error:
            raise NotAuthenticated(
                f"the provider's answer is not to be believed: {type(error).__name__}"
            ) from None
        claims = dict(token.claims)
        if not _is_for(claims, self._settings.client_id):
            raise NotAuthenticated("the provider's answer was made for another client")
        return claims

    def _person(self, claims: dict[str, Any]) -> Person:
        value = claims.get(self._settings.claim, [])
        groups = {str(group) for group in (value if isinstance(value, list) else [value])} | {"*"}
        names = [name for group in groups for name in self._settings.scopes.get(group, ())]
        scopes = parse_scopes(names) if names else ()
        # An address that the provider has not proved may be anybody's.
        name = str((claims.get("email_verified") is True and claims.get("email")) or claims["sub"])
        if Scope.ADMIN_READ not in scopes:
            raise NotAllowed(f"{name[:100]} is nobody who may read here")
        return Person(f"oidc:{name}"[:300], frozenset(scopes))

    def _login(self) -> str:
        """How a client says who it is (RFC 6749, 2.3.1): each part is encoded before they are joined."""
        secret = self._settings.client_secret.get_secret_value()
        pair = f"{quote(self._settings.client_id, safe='')}:{quote(secret, safe='')}"
        return "Basic " + base64.b64encode(pair.encode()).decode()

    async def _discover(self) -> dict[str, Any]:
        """Asked once for all who wait, and not again right after a failure: strangers can start a sign-in."""
        async with self._discovering:
            now_s = self._clock.monotonic()
            if self._found is not None and now_s - self._found[0] <= DISCOVERY_S:
                return self._found[1]
            if now_s - self._failed_s < FAILED_DISCOVERY_S:
                raise Unavailable("the provider could not be asked a moment ago")
            self._failed_s = now_s
            found = await self._ask(f"{self._issuer}/.well-known/openid-configuration")
            named = {"authorization_endpoint", "token_endpoint", "jwks_uri"} <= found.keys()
            if not named or str(found.get("issuer", "")).rstrip("/") != self._issuer:
                raise Unavailable("the provider's discovery document is not that of POSTROOM_OIDC__ISSUER")
            self._found, self._failed_s = (now_s, found), float("-inf")
            return found

    async def _ask(self, url: str, *, form: dict[str, str] | None = None) -> dict[str, Any]:
        """A JSON object from the provider; with a form as this client. Errors: `Unavailable`."""
        headers = {"Authorization": self._login()} if form else {}
        try:
            async with (
                asyncio.timeout(TIMEOUT_S),
                aiohttp.ClientSession() as session,
                session.request(
                    "POST" if form else "GET", url, data=form, headers=headers, allow_redirects=False
                ) as response,
            ):
                if response.status != 200:
                    raise Unavailable(f"the provider answered {response.status}")
                body = await read_answer(response, bytes_max=ANSWER_BYTES_MAX)
                return msgspec.json.decode(body, type=dict[str, Any])
        except (aiohttp.ClientError, TimeoutError, OSError, msgspec.MsgspecError) as error:
            raise Unavailable(f"the provider cannot be asked: {type(error).__name__}") from None


def _challenge(verifier: str) -> str:
    """What the provider is shown of the verifier (RFC 7636, 4.2)."""
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _is_for(claims: dict[str, Any], client_id: str) -> bool:
    """OpenID Connect Core 3.1.3.7, 4 and 5: with several audiences it names the one it was made for."""
    audience, party = claims.get("aud"), claims.get("azp")
    several = isinstance(audience, list) and len(audience) > 1
    return party == client_id or (party is None and not several)
