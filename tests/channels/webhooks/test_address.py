"""Which addresses and urls a webhook may go to."""

from __future__ import annotations

import pytest

from postroom.base.errors import InvalidPayload
from postroom.channels.webhooks.address import is_public
from postroom.channels.webhooks.url import PrivateUrl, parse_url

PRIVATE_ADDRESSES = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:a9fe:a9fe",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
]
PUBLIC_ADDRESSES = [
    "1.1.1.1",
    "172.32.0.1",
    "100.128.0.1",
    "2606:4700::1111",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
]


@pytest.mark.parametrize("address", PRIVATE_ADDRESSES)
def test_a_private_address_is_refused(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC_ADDRESSES)
def test_a_public_address_is_allowed(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "host",
    [
        *(f"[{address.replace('%', '%25')}]" if ":" in address else address for address in PRIVATE_ADDRESSES),
        "①②⑦.0.0.1",
        "127。0。0。1",
    ],
)
def test_a_url_to_a_literal_private_address_is_refused(host: str) -> None:
    with pytest.raises(PrivateUrl):
        parse_url(f"http://{host}/hooks", allow_private=False)


@pytest.mark.parametrize(
    "host",
    [
        "127.1",
        "127.0.1",
        "2130706433",
        "017700000001",
        "0177.0.0.1",
        "0x7f.0.0.1",
        "0x7f000001",
        "127.0.0.0x1",
        "127.0.0.1.",
        "1.2.3.4.5",
        "999.1.1.1",
    ],
)
def test_another_form_of_an_address_is_refused_even_where_private_ones_are_allowed(host: str) -> None:
    with pytest.raises(InvalidPayload) as caught:
        parse_url(f"http://{host}/", allow_private=True)
    assert caught.value.field == "url"


@pytest.mark.parametrize(
    "url",
    [
        "",
        7,
        None,
        "example.com/hooks",
        "//example.com/hooks",
        "ftp://example.com/",
        "file:///etc/passwd",
        "http://",
        "http:///hooks",
        "http://user@example.com/",
        "http://user:word@example.com/",
        "http://example.com:0/",
        "http://example.com:99999/",
        "http://example.com:25/",
        "http://exa mple.com/",
        "http://example.com/\r\nx: y",
        "http://example.com\\@other.example/",
        "http://[::1/",
        "http://-.-!/",
        "https://example.com/" + "x" * 2_000,
    ],
)
def test_a_url_of_the_wrong_shape_is_refused_by_field(url: object) -> None:
    with pytest.raises(InvalidPayload) as caught:
        parse_url(url, allow_private=False)
    assert caught.value.field == "url"


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/hooks?a=b",
        "http://example.com:8080/",
        "https://bücher.example/",
        "https://1.1.1.1/",
        "https://[2606:4700::1111]:443/",
        "https://under_score.example.com./",
    ],
)
def test_a_usual_url_is_taken(url: str) -> None:
    assert parse_url(url, allow_private=False).host


def test_private_addresses_and_low_ports_are_taken_when_the_operator_allows_them() -> None:
    assert parse_url("http://10.0.0.1:81/", allow_private=True).port == 81
