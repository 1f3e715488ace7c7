"""Attachments that a payload names by their address: invoices as PDF, from Stripe and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from postroom.base.answers import read_answer
from postroom.base.errors import Unavailable
from postroom.base.version import VERSION
from postroom.channels.email.payload import Attachment, Link, is_stripes

REDIRECTS_MAX: Final = 5
FETCH_S: Final = 15.0
PDF: Final = b"%PDF-"
_TRY_AGAIN: Final = (408, 425, 429)


class LinkDead(Exception):
    """An address has nothing to attach, and will not have; the text says which and why."""


class LinkUnanswered(Exception):
    """An address may have it later; the text says which and why."""


class Links:
    """Promise: nothing is asked for but https under stripe.com, on each redirect as well, and what is
    attached is a PDF. Does not promise: the same bytes at each attempt."""

    def __init__(self, connector: Callable[[], aiohttp.BaseConnector] = aiohttp.TCPConnector) -> None:
        self._connector = connector

    async def fetch(self, link: Link, *, bytes_max: int) -> Attachment:
        """Errors: `LinkDead`; `LinkUnanswered`."""
        timeout = aiohttp.ClientTimeout(total=FETCH_S)
        headers = {"User-Agent": f"postroom/{VERSION}", "Accept": "application/pdf"}
        try:
            async with aiohttp.ClientSession(
                connector=self._connector(), timeout=timeout, headers=headers
            ) as session:
                content = await _follow(session, link.url, bytes_max)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise LinkUnanswered(f"{_host(link.url)} did not answer ({type(error).__name__})") from None
        return Attachment(link.filename, "application", "pdf", content)


async def _follow(session: aiohttp.ClientSession, url: str, bytes_max: int) -> bytes:
    for _ in range(REDIRECTS_MAX + 1):
        if not is_stripes(url):
            raise LinkDead(
                f"{_host(url)} is not Stripe's: an attachment comes from https://….stripe.com only"
            )
        async with session.get(url, allow_redirects=False) as answer:
            if answer.status in (301, 302, 303, 307, 308):
                url = str(answer.url.join(_target(answer)))
                continue
            if answer.status in _TRY_AGAIN or answer.status >= 500:
                raise LinkUnanswered(f"{_host(url)} answered {answer.status}")
            if answer.status != 200:
                raise LinkDead(f"{_host(url)} answered {answer.status} where an attachment should be")
            try:
                return _checked(await read_answer(answer, bytes_max=bytes_max), url)
            except Unavailable:
                raise LinkDead(f"the attachment is larger than {bytes_max} bytes") from None
    raise LinkDead(f"{_host(url)} redirected more than {REDIRECTS_MAX} times")


def _target(answer: aiohttp.ClientResponse) -> URL:
    try:
        return URL(answer.headers["Location"])
    except (KeyError, ValueError):
        raise LinkDead(f"{answer.url.host} redirects to no address") from None


def _checked(content: bytes, url: str) -> bytes:
    """While Stripe makes a PDF it may show a page instead."""
    if not content.startswith(PDF):
        raise LinkUnanswered(f"{_host(url)} answered with something that is no PDF")
    return content


def _host(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "an address without a host")[:100]
    except ValueError:
        return "an address that is none"
