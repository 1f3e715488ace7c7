"""Which IP addresses a webhook may go to: those of the public internet and no others."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TypeAlias

Private: TypeAlias = bool | tuple[IPv4Network | IPv6Network, ...]
"""Which addresses besides public ones: none, all, or those of some networks."""

_NAT64 = IPv6Network("64:ff9b::/96")
_UNICAST = IPv6Network("2000::/3")

# Python 3.11's `is_global` calls these public, or did so in one of its patch releases.
_REFUSED_V4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT; one cloud serves its metadata here
        "168.63.129.16/32",  # a cloud's host agent, reachable from inside only
        "192.0.0.0/24",
        "192.88.99.0/24",  # 6to4 relays
        "198.18.0.0/15",
        "240.0.0.0/4",
    )
)
_REFUSED_V6 = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # Teredo among others: hides an IPv4 address
        "2001:db8::/32",
        "2002::/16",  # 6to4: hides an IPv4 address
        "3fff::/20",
    )
)


def is_public(text: str) -> bool:
    """Whether this literal address belongs to the public internet.

    IPv6 forms that carry an IPv4 address (mapped, NAT64) count as the address they carry.
    Errors: `ValueError` when it is no literal address.
    """
    address = ip_address(text)
    if isinstance(address, IPv6Address):
        return _is_public_v6(address)
    return _is_public_v4(address)


def is_allowed(text: str, private: Private) -> bool:
    """Whether this literal address may be connected to. Errors: `ValueError` when it is none."""
    if is_public(text) or private is True:
        return True
    address = ip_address(text)
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return private is not False and any((mapped or address) in network for network in private)


def _is_public_v4(address: IPv4Address) -> bool:
    return (
        address.is_global
        and not address.is_multicast
        and not any(address in network for network in _REFUSED_V4)
    )


def _is_public_v6(address: IPv6Address) -> bool:
    if address.scope_id is not None:
        return False
    if address.ipv4_mapped is not None:
        return _is_public_v4(address.ipv4_mapped)
    if address in _NAT64:
        return _is_public_v4(IPv4Address(int(address) & 0xFFFF_FFFF))
    return (
        address in _UNICAST and address.is_global and not any(address in network for network in _REFUSED_V6)
    )
