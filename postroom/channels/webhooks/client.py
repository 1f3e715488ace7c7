"""The HTTP client: one session, pooled connections, no way into private networks.

Every connection is checked twice on the address it goes to: names in the resolver, and
whatever is about to be connected (literal addresses too) in the socket factory. The checked
address is the one connected to, so a name cannot change its meaning in between.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from postroom.base.version import VERSION
from postroom.channels.webhooks.address import Private, is_allowed
from postroom.overrides.aiohttp_connector import REST_S, QuietConnector

CONNECT_TIMEOUT_S = 5.0
# Below the 5 s after which common receivers (Node) close an idle connection under our hands.
KEEPALIVE_S = 4.0
ASK_AGAIN_S: Final = 1.5
TRIES: Final = 3
LOOK_UP_S: Final = 5.0
"""For a name, all name servers, tries and search domains together."""
USER_AGENT = f"Postroom/{VERSION}"
ANONYMOUS = "webhooks"


class PrivateAddress(Exception):
    """The receiver is not on the public internet.

    No `OSError` on purpose: those make the client try the next address.
    """


class PublicResolver(AbstractResolver):
    """Looks names up and leaves out private addresses.

    Promise: a name server that does not answer for some names holds up no other name: a question under way
    takes no thread, and ends after `LOOK_UP_S`. Does not promise: what the machine knows by other ways than
    `/etc/resolv.conf` and `/etc/hosts` (ADR 19). Needs a running loop.
    """

    def __init__(self, *, allow_private: Private, names: AbstractResolver | None = None) -> None:
        """`names`: who is asked instead of the machine's name servers; what it answers is checked, too."""
        self._allow_private = allow_private
        self._names = names or aiohttp.AsyncResolver(timeout=ASK_AGAIN_S, tries=TRIES)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Errors: `OSError` for a name without an address in time, `PrivateAddress` for only private ones."""
        try:
            async with asyncio.timeout(LOOK_UP_S):
                found = await self._names.resolve(host, port, family)
        except TimeoutError:
            raise OSError(None, f"no answer from a name server within {LOOK_UP_S:g} s") from None
        allowed = [each for each in found if is_allowed(each["host"], self._allow_private)]
        if found and not allowed:
            raise PrivateAddress(host)
        return allowed

    async def close(self) -> None:
        await self._names.close()


def open_session(
    *,
    allow_private: Private,
    connect_timeout_s: float,
    connections_max: int,
    connections_per_host: int,
    resolver: AbstractResolver,
    rest_s: float = REST_S,
    user_agent: str = USER_AGENT,
) -> aiohttp.ClientSession:
    """A session that keeps no cookies, reads no proxy settings and unpacks nothing.

    The caller limits how long a request may take, closes the session, then the resolver.
    Needs a running loop.
    """

    def open_socket(info: aiohttp.AddrInfoType) -> socket.socket:
        if not is_allowed(str(info[4][0]), allow_private):
            raise PrivateAddress(str(info[4][0]))
        return socket.socket(info[0], info[1], info[2])

    return aiohttp.ClientSession(
        connector=QuietConnector(
            limit=connections_max,
            limit_per_host=connections_per_host,
            keepalive_timeout=KEEPALIVE_S,
            resolver=resolver,
            socket_factory=open_socket,
            rest_s=rest_s,
        ),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout_s),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        headers={
            "user-agent": user_agent,
            "content-type": "application/json",
            # Packed answers would have to be unpacked to be read, and some unpack to gigabytes.
            "accept-encoding": "identity",
        },
    )
