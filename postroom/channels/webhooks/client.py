"""The HTTP client: one session, pooled connections, no way into private networks.

Every connection is checked twice on the address it goes to: names in the resolver, and
whatever is about to be connected (literal addresses too) in the socket factory. The checked
address is the one connected to, so a name cannot change its meaning in between.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from postroom.base.version import VERSION
from postroom.channels.webhooks.address import Private, is_allowed
from postroom.overrides.aiohttp_connector import REST_S, QuietConnector

CONNECT_TIMEOUT_S = 5.0
# Below the 5 s after which common receivers (Node) close an idle connection under our hands.
KEEPALIVE_S = 4.0
RESOLVER_THREADS_MAX = 32
USER_AGENT = f"Postroom/{VERSION}"
ANONYMOUS = "webhooks"


class PrivateAddress(Exception):
    """The receiver is not on the public internet.

    No `OSError` on purpose: those make the client try the next address.
    """


LookUp = Callable[..., Sequence[tuple[Any, Any, Any, Any, Any]]]
"""`socket.getaddrinfo`, or what a test has in its place."""


class PublicResolver(AbstractResolver):
    """Looks names up in threads of its own and leaves out private addresses.

    Own threads, because one name server that does not answer must not hold up the process.
    """

    def __init__(self, *, allow_private: Private, look_up: LookUp = socket.getaddrinfo) -> None:
        self._allow_private = allow_private
        self._look_up = look_up
        self._threads = ThreadPoolExecutor(RESOLVER_THREADS_MAX, thread_name_prefix="webhook-dns")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Errors: `OSError` when the name has no address, `PrivateAddress` when it has only private ones."""
        found = await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: self._look_up(host, port, family=family, type=socket.SOCK_STREAM)
        )
        addresses = [(kind, str(address[0])) for kind, _, _, _, address in found]
        allowed = [pair for pair in addresses if is_allowed(pair[1], self._allow_private)]
        if addresses and not allowed:
            raise PrivateAddress(host)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=kind,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, address in allowed
        ]

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


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
