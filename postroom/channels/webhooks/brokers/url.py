"""Urls of brokers: `scheme://host:port[,host:port]/path?option=value`, and who may use them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

from postroom.channels.webhooks.address import Private
from postroom.channels.webhooks.url import URL_CHARACTERS_MAX, check_host, fault

NODES_MAX: Final = 10
ANY_TENANT: Final = "*"
Allowed = Mapping[str, Sequence[str]]
"""By `scheme://host:port`: the tenants that may use it, or `*`."""
NONE_ALLOWED: Final[Allowed] = {}

_URL: Final = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+]*)://(?P<hosts>[^/?#]*)(?:/(?P<path>[^?#]*))?(?:\?(?P<query>[^#]*))?"
)
_NODE: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(?::(?P<port>[0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class BrokerUrl:
    """`text` is the url as it was given. `nodes`: hosts and ports of one broker, tried in this order."""

    text: str
    scheme: str
    nodes: tuple[tuple[str, int], ...]
    path: str
    options: tuple[tuple[str, str], ...]

    def option(self, name: str, default: str = "") -> str:
        for key, value in self.options:
            if key == name:
                return value
        return default

    @property
    def origins(self) -> tuple[str, ...]:
        """Each node as the operator names it in the setting."""
        return tuple(f"{self.scheme}://{host}:{port}" for host, port in self.nodes)

    def check_allowed(self, allowed: Allowed, *, tenant: str, private: Private) -> None:
        """Errors: `InvalidPayload` where the operator does not let this tenant use every node of it, or one
        is a private address outright, `PrivateUrl`."""
        for origin in self.origins:
            if not {tenant, ANY_TENANT} & set(allowed.get(origin, ())):
                raise fault(f"names {origin}, which POSTROOM_WEBHOOK__BROKERS does not allow this tenant")
        for host, _ in self.nodes:
            check_host(host, allow_private=private)


def split_url(text: str, *, default_port: int) -> BrokerUrl:
    """The parts of a broker's url; nothing is looked up. Errors: `InvalidPayload` for field `url`."""
    found = _URL.fullmatch(text) if len(text) <= URL_CHARACTERS_MAX else None
    if found is None:
        raise fault("is no valid url of a broker")
    if "@" in found["hosts"]:
        raise fault("must not hold a user name or password: they are the endpoint's secret")
    names = found["hosts"].split(",")
    if len(names) > NODES_MAX:
        raise fault(f"names more than {NODES_MAX} nodes")
    options = tuple(parse_qsl(found["query"] or "", keep_blank_values=True))
    if len(dict(options)) != len(options):
        raise fault("has an option twice")
    nodes = tuple(_node(name, default_port) for name in names)
    return BrokerUrl(text, found["scheme"], nodes, found["path"] or "", options)


def _node(text: str, default_port: int) -> tuple[str, int]:
    found = _NODE.fullmatch(text)
    port = int(found["port"] or default_port) if found else 0
    if found is None or not 0 < port < 65_536:
        raise fault("must name its nodes as host:port, with commas in between")
    return found["host"].strip("[]").lower(), port
