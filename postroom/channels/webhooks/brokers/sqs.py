"""Amazon SQS: `sqs://sqs.eu-west-1.amazonaws.com/123456789012/queue`, with an access key of its own."""

from __future__ import annotations

import asyncio
import hashlib
import re
import socket
from typing import Any, ClassVar, Final

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver, ResolveResult
from botocore.auth import SigV4Auth  # type: ignore[import-untyped]
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
from botocore.credentials import Credentials  # type: ignore[import-untyped]

from postroom.channels.webhooks.answer import judge_failure
from postroom.channels.webhooks.brokers.login import Login
from postroom.channels.webhooks.brokers.transport import BrokerMessage, Node, OpenFailed
from postroom.channels.webhooks.brokers.url import BrokerUrl
from postroom.channels.webhooks.url import fault
from postroom.outbox.model import Delivered, Outcome, Rejected, RetryLater, Trip, Unknown

_PATH: Final = re.compile(r"[0-9]{1,20}/[A-Za-z0-9_-]{1,80}(\.fifo)?")
_HOST: Final = re.compile(r"sqs\.([a-z0-9-]+)\.amazonaws\.com(\.cn)?")
_REGION: Final = re.compile(r"[a-z0-9-]{1,40}")
_GROUP: Final = re.compile(r"[A-Za-z0-9!-/:-@\[-`{-~]{1,128}")
_CONNECTIONS_MAX: Final = 20
_ANSWER_BYTES_MAX: Final = 20_000
_TYPE: Final = "application/x-amz-json-1.0"
_LOGIN_REFUSED: Final = frozenset(
    {"InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch", "ExpiredToken"}
)
_THROTTLED: Final = frozenset({"RequestThrottled", "ThrottlingException", "OverLimit"})
_LOST: Final = Unknown("the connection ended before the answer", code="disconnected")


class SqsTransport:
    """A few connections to one queue, each request signed with the endpoint's own key.

    Promise: `Delivered` is what SQS has stored in several places. In a FIFO queue the ordering key is the
    group, and the message id deduplicates what comes again within five minutes. No credentials of the machine
    are used. Does not promise: order, nor once, in a standard queue.
    """

    port: ClassVar = 443
    options: ClassVar = frozenset({"region"})
    _scheme: ClassVar = "https"

    def __init__(self, url: BrokerUrl, login: Login | None) -> None:
        self._path = url.path
        self._region = _region(url)
        self._login = login
        self._session: aiohttp.ClientSession | None = None
        self._endpoint = ""
        self._reached = True

    @classmethod
    def check(cls, url: BrokerUrl) -> None:
        if not _PATH.fullmatch(url.path):
            raise fault("must end in /account/queue, the account as a number; no wildcards or spaces")
        if not _REGION.fullmatch(_region(url)):
            raise fault("must name its region, as in ?region=eu-west-1")

    @property
    def is_open(self) -> bool:
        return self._session is not None and self._reached

    async def open(self, node: Node) -> None:
        if self._login is None or not self._login.user:
            raise OpenFailed("the endpoint has no access key", "login_missing")
        host = f"[{node.host}]" if ":" in node.host else node.host
        self._endpoint = f"{self._scheme}://{host}" + ("" if node.port == self.port else f":{node.port}")
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=_CONNECTIONS_MAX, resolver=_Pinned(node), ssl=node.tls or False
            ),
            timeout=aiohttp.ClientTimeout(total=None),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )

    async def begin(self, message: BrokerMessage) -> asyncio.Future[Outcome]:
        return asyncio.create_task(self._send(message))

    async def _send(self, message: BrokerMessage) -> Outcome:
        if self._session is None:
            raise RuntimeError("open() comes before begin()")
        request = self._signed(_arguments(message, f"{self._endpoint}/{self._path}"))
        try:
            async with self._session.post(
                request.url, data=request.body, headers=dict(request.headers.items()), allow_redirects=False
            ) as response:
                answer = await response.content.read(_ANSWER_BYTES_MAX)
                return _judge(response.status, answer)
        except aiohttp.ClientConnectorError as error:
            self._reached = False
            return judge_failure(error)
        except aiohttp.ClientError:
            return _LOST

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _signed(self, arguments: dict[str, Any]) -> Any:
        login = self._login
        request = AWSRequest(
            "POST",
            f"{self._endpoint}/",
            headers={"content-type": _TYPE, "x-amz-target": "AmazonSQS.SendMessage"},
            data=msgspec.json.encode(arguments),
        )
        if login is not None:
            key = Credentials(login.user, login.password.get_secret_value())
            SigV4Auth(key, "sqs", self._region).add_auth(request)
        return request.prepare()


class PlainSqsTransport(SqsTransport):
    """Without TLS, for what stands in for SQS on a private network."""

    port: ClassVar = 80
    _scheme: ClassVar = "http"


class _Pinned(AbstractResolver):
    """Every name is the address of the node."""

    def __init__(self, node: Node) -> None:
        self._address = node.address

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_INET,  # noqa: ARG002
    ) -> list[ResolveResult]:
        found = socket.AF_INET6 if ":" in self._address else socket.AF_INET
        return [
            ResolveResult(
                hostname=host,
                host=self._address,
                port=port,
                family=found,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
        ]

    async def close(self) -> None:
        """It holds nothing."""


def _region(url: BrokerUrl) -> str:
    found = _HOST.fullmatch(url.nodes[0][0])
    return url.option("region", found[1] if found else "")


def _arguments(message: BrokerMessage, queue: str) -> dict[str, Any]:
    """SQS takes ten attributes: four of ours, and CloudEvents' six."""
    named = dict(message.headers) | {f"ce-{name}": value for name, value in message.attributes.items()}
    arguments: dict[str, Any] = {
        "QueueUrl": queue,
        "MessageBody": message.body.decode(),
        "MessageAttributes": {
            name: {"DataType": "String", "StringValue": value} for name, value in named.items()
        },
    }
    if queue.endswith(".fifo"):
        arguments["MessageGroupId"] = _group(message)
        arguments["MessageDeduplicationId"] = message.id
    return arguments


def _group(message: BrokerMessage) -> str:
    """The ordering key, as SQS takes it; a group of its own without one, as there is nothing to wait for."""
    key = message.key or message.id
    return key if _GROUP.fullmatch(key) else hashlib.sha256(key.encode()).hexdigest()


def _judge(status: int, answer: bytes) -> Outcome:
    if status == 200:
        return Delivered(code="stored")
    code, text = _error(answer)
    if status >= 500 or code in _THROTTLED:
        return RetryLater("SQS answered that it cannot now", code=code or str(status))
    if code in _LOGIN_REFUSED:
        return RetryLater("the broker refused the login", code="login_refused")
    if "shorter than" in text or code == "MessageTooLong":
        return Rejected("larger than the queue takes", code="too_large", detail=text)
    if code == "InvalidMessageContents":
        return Rejected("has characters that SQS does not take", code="invalid_characters", detail=text)
    return RetryLater(
        f"SQS refused it: {code or status}", code=code or str(status), detail=text, trip=Trip.NO
    )


def _error(answer: bytes) -> tuple[str, str]:
    """Its code, without the namespace, and its text."""
    try:
        told = msgspec.json.decode(answer, type=dict[str, Any])
    except msgspec.DecodeError:
        found = re.search(rb"<Code>(\w+)</Code>", answer)
        return found[1].decode() if found else "", ""
    code = str(told.get("__type", "")).rpartition("#")[2].rpartition(".")[2]
    return code, str(told.get("message") or told.get("Message") or "")[:500]
