"""A browser's manners without a browser: cookies, forms with their token, redirects not followed."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp

from tests.fixtures.api import Answer, Api

FORM = {"Sec-Fetch-Site": "same-origin"}


@dataclass(slots=True)
class Visitor:
    """One cookie jar. `csrf` is the token of the session once somebody is signed in."""

    client: aiohttp.ClientSession
    csrf: str = ""
    headers: Mapping[str, str] = field(default_factory=lambda: dict(FORM))

    async def get(self, path: str) -> Answer:
        async with self.client.get(path, allow_redirects=False) as response:
            return Answer(response.status, dict(response.headers), await response.text())

    async def post(
        self, path: str, form: Sequence[tuple[str, str]] = (), *, csrf: str | None = None
    ) -> Answer:
        data = [("csrf", self.csrf if csrf is None else csrf), *form]
        async with self.client.post(path, data=data, headers=self.headers, allow_redirects=False) as response:
            return Answer(response.status, dict(response.headers), await response.text())

    async def sign_in(self, token: str) -> Answer:
        answer = await self.post("/console/sign-in", [("token", token), ("next", "/console/jobs")])
        if answer.status == 303:
            page = await self.get("/console/settings")
            found = re.search(r'name="csrf" value="([0-9a-f]{64})"', page.text)
            assert found, page.text[:500]
            self.csrf = found[1]
        return answer


@asynccontextmanager
async def visitor(api: Api) -> AsyncIterator[Visitor]:
    jar = aiohttp.CookieJar(unsafe=True)  # cookies of 127.0.0.1 too
    async with aiohttp.ClientSession(api.client._base_url, cookie_jar=jar) as client:
        yield Visitor(client)
