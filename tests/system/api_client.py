"""The real application under uvicorn on a loopback port, and a client for it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import uvicorn

from postroom.admin.token_store import create_token
from postroom.admin.tokens import Scope
from postroom.base import json
from postroom.base.db import transaction
from postroom.base.settings import Settings
from postroom.main import create_app
from postroom.wiring import Services, open_services

START_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.decode(self.text)


@dataclass(slots=True)
class Api:
    """A running application. `token` is sent unless a call brings its own headers."""

    services: Services
    app: Any
    client: aiohttp.ClientSession
    token: str = ""

    async def call(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **options: Any
    ) -> Answer:
        sent = {"Authorization": f"Bearer {self.token}"} if headers is None and self.token else headers
        async with self.client.request(method, path, headers=sent, **options) as response:
            return Answer(response.status, dict(response.headers), await response.text())

    async def get(self, path: str, **options: Any) -> Answer:
        return await self.call("GET", path, **options)

    async def post(self, path: str, **options: Any) -> Answer:
        return await self.call("POST", path, **options)

    async def make_token(self, *scopes: Scope, name: str = "test") -> str:
        async with transaction(self.services.pool) as conn:
            secret, _ = await create_token(conn, name=name, scopes=scopes)
        return secret


@asynccontextmanager
async def running_api(dsn: str, settings: Settings, *scopes: Scope) -> AsyncIterator[Api]:
    """Serve until left; `scopes` (all when none are named) are those of the client's token."""
    async with open_services(settings, dsn) as services:
        app = create_app(services=services)
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(
            uvicorn.Config(app, log_config=None, lifespan="on", timeout_graceful_shutdown=5)
        )
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                while not server.started:
                    await asyncio.sleep(0.01)
            base = f"http://127.0.0.1:{listener.getsockname()[1]}"
            async with aiohttp.ClientSession(base) as client:
                api = Api(services=services, app=app, client=client)
                api.token = await api.make_token(*(scopes or tuple(Scope)))
                yield api
        finally:
            server.should_exit = True
            await serving
            listener.close()
