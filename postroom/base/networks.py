"""Networks by their CIDR: whose word on where a request came from is believed, and who counts as one."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias

Network: TypeAlias = IPv4Network | IPv6Network

_EVERYBODY: Final = (
    "lets everybody say where they come from, so that no limit on an address holds; "
    "name the addresses of your proxies, such as 10.0.0.0/8"
)


def parse_proxies(text: str) -> tuple[Network, ...]:
    """Comma-separated addresses and CIDRs. Errors: `ValueError` with what is wrong and why."""
    networks = []
    for number, part in enumerate((each.strip() for each in text.split(",")), start=1):
        if not part:
            continue
        if part == "*" or part.endswith("/0"):
            raise ValueError(f"{part} {_EVERYBODY}")
        try:
            networks.append(ip_network(part))
        except ValueError:
            raise ValueError(f"entry {number} is no address and no CIDR such as 10.0.0.0/8") from None
    return tuple(networks)


def as_seen(networks: tuple[Network, ...]) -> list[str]:
    """The networks, and those of IPv4 as a socket that listens on `::` sees them."""
    mapped = [
        f"::ffff:{each.network_address}/{96 + each.prefixlen}" for each in networks if each.version == 4
    ]
    return [*map(str, networks), *mapped]


def neighbourhood(host: str) -> str:
    """Who is counted as one: an IPv4 address, or a /64, which is what one customer has of IPv6."""
    if ":" not in host:
        return host
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host[:50]
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or ip_network((address, 64), strict=False))
