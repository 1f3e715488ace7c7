"""Amazon SNS, by which SES tells its events.

https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message-verify-message-signature.html
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.x509 import Certificate, load_pem_x509_certificate

from postroom.base import json
from postroom.base.answers import read_answer
from postroom.base.errors import InvalidInput, Unavailable
from postroom.base.log import get_logger
from postroom.channels.email.events.model import ForgedEvent, Provider
from postroom.channels.email.events.signatures import check_age

TIMEOUT_S: Final = 5.0
ANSWER_BYTES_MAX: Final = 65_536
CERTIFICATES_MAX: Final = 8
_CERTIFICATE_PATH: Final = re.compile(r"/SimpleNotificationService-[0-9a-f]{32}\.pem")
_HASHES: Final = {"1": SHA1, "2": SHA256}
_NOTIFICATION: Final = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
_CONFIRMATION: Final = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")

log = get_logger(__name__)


class Sns:
    """Opens what SNS posts.

    Promise: nothing is fetched but over HTTPS from SNS in the region of a topic that is set here, and no
    subscription is confirmed but to such a topic. Does not promise: that a certificate was not withdrawn.
    """

    def __init__(self, connector: Callable[[], aiohttp.BaseConnector] = aiohttp.TCPConnector) -> None:
        self._connector = connector
        self._certificates: dict[str, Certificate] = {}

    async def open(self, body: bytes, topics: tuple[str, ...], now: datetime) -> bytes:
        """SES's own words; empty where SNS speaks of the subscription, which is confirmed.

        Errors: `ForgedEvent`; `Unavailable` while Amazon does not answer, and SNS then tries again.
        """
        told = _read(body)
        topic = told.get("TopicArn")
        if topic not in topics:
            raise ForgedEvent("SNS speaks of a topic that is not in POSTROOM_EMAIL__EVENTS_SES_TOPICS")
        _, partition, _, region, *_ = topic.split(":")  # as it was checked with the settings
        host = f"sns.{region}.amazonaws.com{'.cn' if partition == 'aws-cn' else ''}"
        await self._check(told, host, now)
        if told["Type"] == "Notification":
            said = told.get("Message", "")  # where SES only tries the topic out, it is no JSON
            return said.encode() if said.startswith("{") else b""
        log.warning("email.events_subscription", type=told["Type"], topic=topic)
        if told["Type"] == "SubscriptionConfirmation":
            await self._fetch(_pinned(told.get("SubscribeURL"), host))
        return b""

    async def _check(self, told: dict[str, str], host: str, now: datetime) -> None:
        url = _pinned(told.get("SigningCertURL"), host)
        algorithm = _HASHES.get(told.get("SignatureVersion", ""))
        if algorithm is None or not _CERTIFICATE_PATH.fullmatch(url.removeprefix(f"https://{host}")):
            raise ForgedEvent("not signed as SNS signs")
        names = _NOTIFICATION if told.get("Type") == "Notification" else _CONFIRMATION
        signed = "".join(f"{name}\n{told[name]}\n" for name in names if name in told)
        certificate = await self._certificate(url)
        key = certificate.public_key()
        if not isinstance(key, RSAPublicKey):
            raise ForgedEvent("the certificate of SNS has no RSA key")
        try:
            key.verify(base64.b64decode(told.get("Signature", "")), signed.encode(), PKCS1v15(), algorithm())
            at = datetime.fromisoformat(told["Timestamp"])
        except (InvalidSignature, ValueError, KeyError):
            raise ForgedEvent("the signature of SNS does not fit") from None
        if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
            raise ForgedEvent("the certificate of SNS is not valid now")
        check_age(Provider.SES, at.timestamp(), now)

    async def _certificate(self, url: str) -> Certificate:
        """SNS changes it about once a year."""
        if url not in self._certificates:
            try:
                certificate = load_pem_x509_certificate(await self._fetch(url))
            except ValueError:
                raise ForgedEvent("what the certificate's address holds is none") from None
            if len(self._certificates) >= CERTIFICATES_MAX:
                self._certificates.clear()
            self._certificates[url] = certificate
        return self._certificates[url]

    async def _fetch(self, url: str) -> bytes:
        """Errors: `Unavailable`."""
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        try:
            async with (
                aiohttp.ClientSession(connector=self._connector(), timeout=timeout) as session,
                session.get(url, allow_redirects=False) as answer,
            ):
                if answer.status == 200:
                    return await read_answer(answer, bytes_max=ANSWER_BYTES_MAX)
                said = f"answered {answer.status}"
        except (aiohttp.ClientError, TimeoutError) as error:
            said = f"did not answer ({type(error).__name__})"
        raise Unavailable(f"SNS {said}", retry_after_s=60)


def _read(body: bytes) -> dict[str, str]:
    try:
        told: Any = json.decode(body)
    except InvalidInput:
        told = None
    if not isinstance(told, dict) or not isinstance(told.get("Type"), str):
        raise ForgedEvent("not in the form of SNS; raw message delivery must be off, for it is not signed")
    return {name: value for name, value in told.items() if isinstance(value, str)}


def _pinned(url: str | None, host: str) -> str:
    """The URL itself. Errors: `ForgedEvent` where it leads anywhere but to SNS."""
    with suppress(ValueError):  # of what is no URL
        parts = urlsplit(url or "")
        if parts.scheme == "https" and parts.netloc == host:
            return parts.geturl()
    raise ForgedEvent(f"an address that is not of https://{host}")
