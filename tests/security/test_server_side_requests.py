"""What a webhook must never be talked into reaching. More forms: tests/channels/webhooks/test_address.py."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from itertools import chain, repeat

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from postroom.base.errors import InvalidPayload
from postroom.channels.webhooks.client import PrivateAddress, PublicResolver, open_session
from postroom.channels.webhooks.url import parse_url
from postroom.dev.receiver import Receiver
from tests.fixtures.names import Names

# Each is a way to write, or to hide, an address inside. `{port}` is where a receiver listens.
FORMS = [
    # as numbers
    "http://127.0.0.1:{port}/", "http://2130706433:{port}/", "http://0x7f000001:{port}/",
    "http://0x7f.0x0.0x0.0x1:{port}/", "http://0X7F.1:{port}/", "http://0177.0.0.1:{port}/",
    "http://00000177.0.0.1:{port}/", "http://017700000001:{port}/", "http://127.1:{port}/",
    "http://127.0.1:{port}/", "http://127.0.0.1.:{port}/", "http://127.000.000.001:{port}/",
    "http://0:{port}/", "http://0.0.0.0:{port}/", "http://00.0.0.0:{port}/", "http://4294967297:{port}/",
    # as other characters
    "http://①②⑦.⓪.⓪.①:{port}/", "http://127。0。0。1:{port}/", "http://１２７.0.0.1:{port}/",
    "http://%31%32%37.0.0.1:{port}/", "http://127%2e0%2e0%2e1:{port}/", "http://127.0.0.1%00:{port}/",
    "http://loc\u00adalhost:{port}/", "http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ:{port}/",
    # as names of the machine itself
    "http://localhost:{port}/", "http://LOCALHOST:{port}/", "http://localhost.:{port}/",
    # IPv6, plain and carrying IPv4
    "http://[::1]:{port}/", "http://[0:0:0:0:0:0:0:1]:{port}/", "http://[::]:{port}/",
    "http://[::ffff:127.0.0.1]:{port}/", "http://[::ffff:7f00:1]:{port}/", "http://[::127.0.0.1]:{port}/",
    "http://[0000::ffff:0:127.0.0.1]:{port}/", "http://[64:ff9b::127.0.0.1]:{port}/",
    "http://[64:ff9b:1::7f00:1]:{port}/", "http://[2002:7f00:1::]:{port}/", "http://[fe80::1%25lo]:{port}/",
    "http://[fe80::1%lo]:{port}/", "http://[fd00::1]:{port}/", "http://[fec0::1]:{port}/",
    "http://[2001:0:7f00:1::]:{port}/", "http://[::1%25]:{port}/", "http://[v1.x]:{port}/",
    # what clouds and neighbours answer on
    "http://169.254.169.254/latest/meta-data/", "http://[fd00:ec2::254]/latest/", "http://2852039166/",
    "http://0xa9fea9fe/", "http://[::ffff:169.254.169.254]/", "http://169.254.170.2/v2/credentials",
    "http://100.100.100.200/", "http://168.63.129.16/", "http://192.0.0.192/", "http://10.0.0.1/",
    "http://172.16.0.1/", "http://192.168.0.1/", "http://224.0.0.1/", "http://255.255.255.255/",
    # user names that look like hosts, and parsers that disagree
    "http://example.com@127.0.0.1:{port}/", "http://127.0.0.1:{port}@127.0.0.1:{port}/",
    "http://a:b@127.0.0.1:{port}/", "http://example.com\\@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}\\@example.com/", "http://127.0.0.1:{port}#@example.com/",
    "http://127.0.0.1:{port}?@example.com/", "http:\\\\127.0.0.1:{port}/", "http:/127.0.0.1:{port}/",
    "http:///127.0.0.1:{port}/", "//127.0.0.1:{port}/", "http://127.0.0.1\t:{port}/",
    "http://127.0.0.1:{port}\r\nHost: example.com/", "http://exa\nmple.com/", " http://127.0.0.1:{port}/",
    # other protocols, and ports that speak them
    "ftp://example.com/", "file:///etc/passwd", "gopher://127.0.0.1:{port}/_GET", "dict://127.0.0.1:{port}/",
    "unix:///var/run/docker.sock", "http+unix://%2Fvar%2Frun%2Fdocker.sock/", "data:text/plain,x",
    "jar:http://127.0.0.1!/", "ws://127.0.0.1:{port}/", "javascript:alert(1)", "http://example.com:22/",
    "http://example.com:25/", "http://example.com:53/", "http://example.com:0/", "http://example.com:-1/",
    "http://example.com:65536/", "http://example.com:0x50/",
]  # fmt: skip


# Some names mean nothing on some machines; that is no way in either.
REFUSALS = (InvalidPayload, PrivateAddress, aiohttp.ClientConnectorDNSError)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


def test_the_list_is_long_enough_and_holds_nothing_twice() -> None:
    assert len(set(FORMS)) == len(FORMS) >= 60


@pytest.mark.parametrize("form", FORMS)
async def test_no_form_reaches_the_inside(form: str, receiver: Receiver) -> None:
    resolver = PublicResolver(allow_private=False)
    session = open_session(
        allow_private=False, connect_timeout_s=3, connections_max=2, connections_per_host=2, resolver=resolver
    )
    try:
        with pytest.raises(REFUSALS):
            await post(session, form.replace("{port}", str(receiver.port)))
    finally:
        await session.close()
        await resolver.close()
    assert not receiver.received


async def post(session: aiohttp.ClientSession, form: str) -> None:
    url = parse_url(form, allow_private=False)
    assert url.host != "example.com", "this form was let through to a public name"
    async with asyncio.timeout(3):
        await session.post(url, data=b"{}", allow_redirects=False)


class Rebinding(AbstractResolver):
    """Says a public address first, and something else at each later question."""

    def __init__(self, *addresses: str) -> None:
        self.answers: Iterator[str] = chain(addresses, repeat(addresses[-1]))
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked += 1
        return [
            ResolveResult(
                hostname=host, host=next(self.answers), port=port, family=socket.AF_INET, proto=6, flags=0
            )
        ]

    async def close(self) -> None: ...


async def test_a_name_that_changes_after_it_was_checked_does_not_get_in(receiver: Receiver) -> None:
    resolver = Rebinding("1.1.1.1", "127.0.0.1")
    await resolver.resolve("hooks.example", receiver.port)  # the check that an attacker waits for
    session = open_session(
        allow_private=False, connect_timeout_s=3, connections_max=2, connections_per_host=2, resolver=resolver
    )
    async with session:
        with pytest.raises(PrivateAddress):
            async with asyncio.timeout(3):
                await session.post(f"http://hooks.example:{receiver.port}/ok")
    assert resolver.asked == 2
    assert not receiver.received


async def test_a_name_is_looked_up_once_and_what_was_checked_is_what_is_connected() -> None:
    names = Rebinding("192.0.2.1", "127.0.0.1")
    resolver = PublicResolver(allow_private=True, names=names)
    session = open_session(
        allow_private=True,
        connect_timeout_s=0.3,
        connections_max=2,
        connections_per_host=2,
        resolver=resolver,
    )
    async with session:
        with pytest.raises((aiohttp.ClientError, TimeoutError)):
            async with asyncio.timeout(0.3):
                await session.post("http://hooks.example:8080/ok", allow_redirects=False)
    await resolver.close()
    assert names.asked == 1


@pytest.mark.parametrize(
    "where", ["http://127.0.0.1:{port}/ok", "//127.0.0.1:{port}/ok", "file:///etc/passwd"]
)
async def test_even_a_client_that_followed_redirects_could_not_get_in(where: str, receiver: Receiver) -> None:
    """The adapter follows none (test_a_redirect_is_never_followed); the socket would refuse it too."""
    names = Names("127.0.0.1")
    resolver = PublicResolver(allow_private=False, names=names)
    session = open_session(
        allow_private=False, connect_timeout_s=3, connections_max=2, connections_per_host=2, resolver=resolver
    )
    async with session:
        target = where.replace("{port}", str(receiver.port))
        with pytest.raises((PrivateAddress, aiohttp.ClientError)):
            async with asyncio.timeout(3):
                await session.post(f"http://hooks.example:{receiver.port}/redirect?to={target}")
    await resolver.close()
    assert names.asked == ["hooks.example"]
    assert not receiver.received
