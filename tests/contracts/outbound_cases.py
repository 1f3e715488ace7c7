"""The outbound adapters with their receiving ends: real SMTP, real HTTP, real files."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from pydantic import SecretStr

from postroom.base.clock import SystemClock
from postroom.base.db import Pool
from postroom.base.email_settings import EmailSettings
from postroom.base.export_settings import ExportSettings
from postroom.base.settings import WebhookSettings
from postroom.channels.email.adapter import EmailAdapter
from postroom.channels.exports.adapter import ExportAdapter
from postroom.channels.webhooks.adapter import WebhookAdapter
from postroom.dev.mailbox import AfterData, Faults, Mailbox
from postroom.dev.receiver import Receiver
from postroom.outbox.model import Cause, Channel
from tests.contracts.adapter_case import AdapterCase, Arrival, Expected, Trouble
from tests.fixtures.roles import pool_as
from tests.fixtures.watched_storage import WatchedStorage

SHORT_S = 1.0


class EmailCase(AdapterCase):
    channel = Channel.EMAIL
    expected: ClassVar = {
        Trouble.PASSING: Expected("retry", "451", Cause.PASSING),
        Trouble.FINAL: Expected("rejected", "550", Cause.PERMANENT),
        Trouble.LOST_ANSWER: Expected("unknown", "connection", Cause.PASSING),
        Trouble.SILENT: Expected("unknown", "timeout", Cause.PASSING),
    }
    rejected_payload: ClassVar[Sequence[tuple[Any, str]]] = (
        ([1], "payload"),
        ({"subject": "s", "text": "t"}, "to"),
        ({"to": "ann@example.com\r\nBcc: eve@example.com", "subject": "s", "text": "t"}, "to"),
        ({"to": "ann@example.com", "subject": "s\nBcc: eve@example.com", "text": "t"}, "subject"),
        ({"to": "ann@example.com", "text": "t"}, "subject"),
        ({"to": "ann@example.com", "subject": "s", "text": "t", "temlpate": "x"}, "temlpate"),
        ({"to": "ann@example.com", "template": "reciept"}, "template"),
        ({"to": 7, "subject": "s", "text": "t"}, "to"),
    )

    def __init__(self, pool: Pool, _folder: Path) -> None:
        self._pool = pool
        self._mailbox = Mailbox()

    async def open(self) -> None:
        await self._mailbox.start()
        self.adapter = self.make_adapter()

    def make_adapter(self) -> EmailAdapter:
        url = SecretStr(f"smtp://127.0.0.1:{self._mailbox.port}")
        settings = EmailSettings(url=url, connections_max=2, timeout_s=SHORT_S)
        return EmailAdapter(settings=settings, pool=pool_as(self._pool, "runner"), clock=SystemClock())

    def payload(self, text: str) -> dict[str, Any]:
        return {"to": "ann@example.com", "subject": "Hello", "text": text}

    async def arrivals(self) -> list[Arrival]:
        return [
            Arrival(mail.message_id.strip("<>").partition("@")[0], mail.text or "")
            for mail in self._mailbox.mails
        ]

    def break_with(self, trouble: Trouble) -> None:
        faults = self._mailbox.faults
        match trouble:
            case Trouble.PASSING:
                faults.data_answer = "451 4.3.0 come back later"
            case Trouble.FINAL:
                faults.refuse["ann@example.com"] = "550 5.1.1 no such user"
            case Trouble.LOST_ANSWER:
                faults.after_data = AfterData.CLOSE
            case Trouble.SILENT:
                faults.after_data = AfterData.HANG

    def mend(self) -> None:
        self._mailbox.faults = Faults()

    async def close(self) -> None:
        await self._mailbox.close()


class WebhookCase(AdapterCase):
    channel = Channel.WEBHOOK
    expected: ClassVar = {
        Trouble.PASSING: Expected("retry", "500", Cause.PASSING),
        Trouble.FINAL: Expected("rejected", "410", Cause.PERMANENT),
        Trouble.LOST_ANSWER: Expected("retry", "disconnected", Cause.PASSING),
        Trouble.SILENT: Expected("retry", "timeout", Cause.PASSING),
    }
    rejected_payload: ClassVar[Sequence[tuple[Any, str]]] = (
        ([1], "payload"),
        ({"type": "order.paid", "data": 1}, "tenant"),
        ({"url": "ftp://example.com/", "type": "order.paid", "data": 1}, "url"),
        ({"url": "http://ann:secret@example.com/", "type": "order.paid", "data": 1}, "url"),
        ({"url": 7, "type": "order.paid", "data": 1}, "url"),
        ({"url": "http://example.com/", "type": "order paid", "data": 1}, "type"),
        ({"url": "http://example.com/", "data": 1}, "type"),
        ({"url": "http://example.com/", "type": "order.paid"}, "data"),
        ({"url": "http://example.com/", "type": "order.paid", "data": "x" * 300_000}, "data"),
    )

    def __init__(self, pool: Pool, _folder: Path) -> None:
        self._pool = pool
        self._receiver = Receiver()

    async def open(self) -> None:
        await self._receiver.__aenter__()
        self.adapter = self.make_adapter()

    def make_adapter(self) -> WebhookAdapter:
        settings = WebhookSettings(allow_private=True, timeout_s=SHORT_S)
        return WebhookAdapter(pool=pool_as(self._pool, "runner"), clock=SystemClock(), settings=settings)

    def payload(self, text: str) -> dict[str, Any]:
        return {"url": self._receiver.url(), "type": "order.paid", "data": {"text": text}}

    async def arrivals(self) -> list[Arrival]:
        return [Arrival(each.id, json.loads(each.body)["data"]["text"]) for each in self._receiver.received]

    def break_with(self, trouble: Trouble) -> None:
        self._receiver.behaviour = {
            Trouble.PASSING: "status/500",
            Trouble.FINAL: "gone",
            Trouble.LOST_ANSWER: "drop",
            Trouble.SILENT: "silent",
        }[trouble]

    def mend(self) -> None:
        self._receiver.behaviour = "ok"

    async def close(self) -> None:
        await self._receiver.__aexit__(None, None, None)


class ExportCase(AdapterCase):
    """A repeat overwrites its own file, so that a record never arrives twice."""

    channel = Channel.EXPORT
    expected: ClassVar = {
        Trouble.PASSING: Expected("retry", "EIO", Cause.PASSING),
        Trouble.FINAL: Expected("retry", "ENOTDIR", Cause.OURS),
        Trouble.LOST_ANSWER: Expected("retry", "EIO", Cause.PASSING),
        Trouble.SILENT: Expected("retry", "timeout", Cause.PASSING),
    }
    rejected_payload: ClassVar[Sequence[tuple[Any, str]]] = (
        ([1], "payload"),
        ({"record": {}}, "dataset"),
        ({"dataset": "../../etc", "record": {}}, "dataset"),
        ({"dataset": "Orders", "record": {}}, "dataset"),
        ({"dataset": 7, "record": {}}, "dataset"),
        ({"dataset": "orders"}, "record"),
        ({"dataset": "orders", "record": [1]}, "record"),
        ({"dataset": "orders", "record": {"x": "x" * 300_000}}, "record"),
    )

    def __init__(self, pool: Pool, folder: Path) -> None:
        self._pool = pool
        self._root = folder / "exports"
        self._storage = WatchedStorage(self._root)

    async def open(self) -> None:
        self.adapter = self.make_adapter()

    def make_adapter(self) -> ExportAdapter:
        return ExportAdapter(
            pool=pool_as(self._pool, "runner"),
            clock=SystemClock(),
            settings=ExportSettings(roll_s=0),
            state_dir=self._root,
            storage=self._storage,
            put_timeout_s=SHORT_S,
        )

    def payload(self, text: str) -> dict[str, Any]:
        return {"dataset": "orders", "record": {"text": text}}

    async def arrivals(self) -> list[Arrival]:
        lines = [
            json.loads(line)
            for path in self._root.rglob("*.ndjson.gz")
            for line in gzip.decompress(path.read_bytes()).splitlines()
        ]
        return [Arrival(line["id"], line["record"]["text"]) for line in lines]

    def break_with(self, trouble: Trouble) -> None:
        match trouble:
            case Trouble.PASSING:
                self._storage.before = _fail
            case Trouble.FINAL:
                self._root.write_text("a file where the folder should be")
            case Trouble.LOST_ANSWER:
                self._storage.after = _fail
            case Trouble.SILENT:
                self._storage.before = asyncio.Event().wait

    def mend(self) -> None:
        self._storage.before = self._storage.after = None
        if self._root.is_file():
            self._root.unlink()

    async def close(self) -> None:
        """A folder needs no closing."""


async def _fail() -> None:
    raise OSError(5, "the disk does not answer")
