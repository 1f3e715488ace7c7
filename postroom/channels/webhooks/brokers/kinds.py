"""Which kinds of brokers there are. Their libraries are imported at the first url that names one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import Final

from postroom.base.errors import InvalidPayload
from postroom.channels.webhooks.address import Private
from postroom.channels.webhooks.brokers.message import FORMATS
from postroom.channels.webhooks.brokers.transport import Transport
from postroom.channels.webhooks.brokers.url import Allowed, BrokerUrl, split_url
from postroom.channels.webhooks.url import fault


@dataclass(frozen=True, slots=True)
class Kind:
    """`place`: module and class of its transport; `extra`: what brings its library; `needs_login`: none of
    these brokers takes anything without a login."""

    place: str
    extra: str
    tls: bool = False
    needs_login: bool = False


_NATS: Final = "nats:NatsTransport"
_REDIS: Final = "redis:RedisTransport"
_KAFKA: Final = "kafka:KafkaTransport"
KINDS: Final = {
    "nats": Kind(_NATS, "nats"),
    "nats+tls": Kind(_NATS, "nats", tls=True),
    "redis": Kind(_REDIS, "redis"),
    "rediss": Kind(_REDIS, "redis", tls=True),
    "amqp": Kind("rabbitmq:RabbitTransport", "rabbitmq"),
    "amqps": Kind("rabbitmq:RabbitTlsTransport", "rabbitmq", tls=True),
    "kafka": Kind(_KAFKA, "kafka"),
    "kafka+tls": Kind(_KAFKA, "kafka", tls=True),
    "sqs": Kind("sqs:SqsTransport", "sqs", tls=True, needs_login=True),
    "sqs+http": Kind("sqs:PlainSqsTransport", "sqs", needs_login=True),
}


class ExtraMissing(InvalidPayload):
    """The library of this kind of broker is not installed here."""


def is_broker(url: object) -> bool:
    return isinstance(url, str) and url.partition("://")[0] in KINDS


def transport_of(scheme: str) -> type[Transport]:
    """Errors: `ExtraMissing` saying what to install."""
    kind = KINDS[scheme]
    module, name = kind.place.split(":")
    try:
        found: type[Transport] = getattr(import_module(f"{__package__}.{module}"), name)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("postroom"):
            raise
        text = f"needs a library that is not installed here: pip install 'postroom[{kind.extra}]'"
        raise ExtraMissing(f"url {text}", field="url") from None
    return found


@lru_cache(maxsize=2_000)
def parse_broker_url(text: str) -> BrokerUrl:
    """Errors: `InvalidPayload` for field `url`, `ExtraMissing` among them."""
    scheme = text.partition("://")[0]
    transport = transport_of(scheme)
    url = split_url(text, default_port=transport.port)
    for name, value in url.options:
        if name not in transport.options and name != "format":
            raise fault(f"has an unknown option {name}")
        if name == "format" and value not in FORMATS:
            raise fault(f"has an unknown format; there are {', '.join(FORMATS)}")
    transport.check(url)
    return url


def parse_allowed(text: str, *, tenant: str, allowed: Allowed, private: Private) -> BrokerUrl:
    """The same, for a tenant that has to be allowed.

    Without a tenant it is the url of a payload, which has no login: only what every tenant may use, and no
    kind that wants one.
    """
    scheme = text.partition("://")[0]
    if not tenant and KINDS[scheme].needs_login:
        raise fault(
            f"names a broker by {scheme}://, which takes nothing without a login, and a payload or route has "
            "none: make an endpoint with this url and its login, and publish to its tenant"
        )
    if not any(origin.startswith(f"{scheme}://") for origin in allowed):
        raise fault(f"names a broker, and POSTROOM_WEBHOOK__BROKERS allows none by {scheme}://")
    url = parse_broker_url(text)
    url.check_allowed(allowed, tenant=tenant, private=private)
    return url
