"""Urls that webhooks may go to: the shape, and hosts that are plainly private."""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address

from yarl import URL

from postroom.base.errors import InvalidPayload
from postroom.channels.webhooks.address import Private, is_allowed

URL_CHARACTERS_MAX = 2_000
URLS_KEPT_MAX = 2_000
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029]")
_NUMERIC_LABEL = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]*")
_HOST_NAME = re.compile(r"(?=.{1,253}\.?$)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")


class PrivateUrl(InvalidPayload):
    """The url names a private address outright."""


def parse_url(text: object, *, allow_private: Private, allow_http: bool = True) -> URL:
    """Check a receiver's url. Never looks a name up: that happens at each connection.

    Errors: `InvalidPayload` for field `url`; `PrivateUrl` for an address that is not public.
    """
    if not isinstance(text, str) or not text:
        raise fault("must be a text such as https://example.com/hooks")
    return _parse(text, allow_private, allow_http)


@lru_cache(maxsize=URLS_KEPT_MAX)  # a receiver's url is asked about at each delivery
def _parse(text: str, allow_private: Private, allow_http: bool) -> URL:
    if len(text) > URL_CHARACTERS_MAX:
        raise fault(f"must have at most {URL_CHARACTERS_MAX} characters")
    if _UNPRINTABLE.search(text) or "\\" in text:
        raise fault("must not hold spaces, control characters or backslashes")
    try:
        url = URL(text)
    except ValueError:
        raise fault("is no valid url") from None
    if url.scheme not in ("http", "https"):
        raise fault("must start with http:// or https://")
    if url.scheme == "http" and not allow_http:
        raise fault("must start with https://, unless POSTROOM_WEBHOOK__ALLOW_HTTP=true is set")
    if url.raw_user is not None or url.raw_password is not None:
        raise fault("must not hold a user name or password")
    check_host(url.raw_host or "", allow_private=allow_private)
    _check_port(url, allow_private=allow_private)
    return url.with_fragment(None)


def check_host(host: str, *, allow_private: Private) -> None:
    if ":" in host:
        _check_address(host, allow_private=allow_private)
        return
    if not _HOST_NAME.fullmatch(host):
        raise fault("names no valid host")
    # The system reads 0x7f.1, 0177.1 and 2130706433 as addresses too; only one form is accepted.
    if _NUMERIC_LABEL.fullmatch(host.rstrip(".").rpartition(".")[2]):
        try:
            IPv4Address(host)
        except AddressValueError:
            raise fault("holds an address that is not in the usual form 192.0.2.1") from None
        _check_address(host, allow_private=allow_private)


def _check_address(host: str, *, allow_private: Private) -> None:
    try:
        allowed = is_allowed(host.replace("%25", "%"), allow_private)
    except ValueError:
        raise fault("names no valid host") from None
    if not allowed:
        raise PrivateUrl("url names a private address", field="url")


def _check_port(url: URL, *, allow_private: Private) -> None:
    port = url.port or 0
    if port == 0:
        raise fault("must name a port above 0, or none")
    if port < 1_024 and port not in (80, 443) and allow_private is not True:
        raise fault("names a port that belongs to another protocol: use 80, 443 or 1024 and above")


def fault(text: str) -> InvalidPayload:
    return InvalidPayload(f"url {text}", field="url")
