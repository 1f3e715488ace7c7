"""A small OpenID Connect provider that is real on the wire: discovery, code flow with PKCE, signed tokens."""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from joserfc import jwt
from joserfc.jwk import RSAKey

ADA = {"email": "ada@example.com", "email_verified": True}
CLIENT_ID, CLIENT_SECRET = "postroom", "client-secret"


@dataclass(slots=True)
class Provider:
    """Lets everybody in at once, as `claims` say. What is in `wrong` replaces what would be right."""

    url: str = ""
    claims: dict[str, Any] = field(default_factory=lambda: {"sub": "1", **ADA})
    wrong: dict[str, Any] = field(default_factory=dict)
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "k1"}))
    signing_key: RSAKey | None = None
    asked: dict[str, dict[str, str]] = field(default_factory=dict)
    discoveries: int = 0
    exchanges: int = 0
    down: bool = False
    retired_keys: int = 0
    client_secret: str = CLIENT_SECRET

    async def discovery(self, _: web.Request) -> web.Response:
        self.discoveries += 1
        if self.down:
            raise web.HTTPServiceUnavailable
        return web.json_response(
            {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/keys",
            }
        )

    async def authorize(self, request: web.Request) -> web.Response:
        asked = dict(request.query)
        code = secrets.token_urlsafe(16)
        self.asked[code] = asked
        raise web.HTTPFound(f"{asked['redirect_uri']}?code={code}&state={asked['state']}")

    async def token(self, request: web.Request) -> web.Response:
        self.exchanges += 1
        form = await request.post()
        asked = self.asked.pop(str(form["code"]), None)  # a code is good once
        login = base64.b64decode(request.headers.get("Authorization", "").removeprefix("Basic ")).decode()
        digest = hashlib.sha256(str(form["code_verifier"]).encode()).digest()
        proved = asked and base64.urlsafe_b64decode(asked["code_challenge"] + "=") == digest
        if not asked or not proved or login != f"{CLIENT_ID}:{self.client_secret}":
            return web.json_response({"error": "invalid_grant"}, status=400)
        now = int(time.time())
        claims = {"iss": self.url, "aud": CLIENT_ID, "iat": now, "exp": now + 300, "nonce": asked["nonce"]}
        signed = jwt.encode(
            {"alg": "RS256", "kid": "k1"},
            {**claims, **self.claims, **self.wrong},
            self.signing_key or self.key,
        )
        return web.json_response({"access_token": "a", "token_type": "Bearer", "id_token": signed})

    async def keys(self, _: web.Request) -> web.Response:
        own = self.key.as_dict(private=False)
        retired = [{**own, "kid": f"retired-{n}"} for n in range(self.retired_keys)]
        return web.json_response({"keys": [*retired, own]})


@asynccontextmanager
async def running_provider() -> AsyncIterator[Provider]:
    provider = Provider()
    application = web.Application()
    application.router.add_get("/.well-known/openid-configuration", provider.discovery)
    application.router.add_get("/authorize", provider.authorize)
    application.router.add_post("/token", provider.token)
    application.router.add_get("/keys", provider.keys)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        provider.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield provider
    finally:
        await runner.cleanup()
