"""aiormq: many messages on one channel, without what it makes for each: a lock, a time limit, tasks, queues.

Codec, channel, connection, and everything that is read are the library's. See ADR 52.
"""

from __future__ import annotations

import asyncio
from itertools import chain
from typing import Any

import aiormq
from aiormq import spec
from aiormq.abc import ChannelFrame, FrameType
from pamqp.body import ContentBody
from pamqp.header import ContentHeader


class SharedChannel:
    """A channel on which nobody else publishes. It writes as `basic_publish` of version 7.2 does.

    It keeps the library's own records (`delivery_tag`, `confirmations`, `message_id_delivery_tag`), so that
    what comes from the broker finds its message: by its tag, and what no queue takes by its id.
    """

    def __init__(
        self, channel: aiormq.Channel, writer: asyncio.StreamWriter, method: spec.Basic.Publish
    ) -> None:
        """`channel` has confirms on, and raises what comes back; `writer` is its connection's."""
        self._channel = channel
        self._writer = writer
        self._method = method
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        channel.closing.add_done_callback(self._end)

    @property
    def is_closed(self) -> bool:
        return self._channel.is_closed

    def takes(self, message_id: str) -> bool:
        """Not one id twice: by it the library tells which message has come back."""
        return not self.is_closed and message_id not in self._channel.message_id_delivery_tag

    def publish(
        self, body: bytes, properties: spec.Basic.Properties, confirmation: asyncio.Future[Any]
    ) -> None:
        """Hand over what it `takes`. `confirmation` gets what `basic_publish` returns or raises."""
        channel, most = self._channel, self._channel.max_content_size
        header = ContentHeader(properties=properties, body_size=len(body))
        parts = (ContentBody(body[start : start + most]) for start in range(0, len(body), most))
        frames = chain[FrameType | ContentBody]((self._method, header), parts)
        self._writer.write(ChannelFrame.marshall(channel.number, frames).payload)
        channel.delivery_tag += 1
        tag, message_id = channel.delivery_tag, str(properties.message_id)
        channel.confirmations[tag] = self._waiting[tag] = confirmation
        channel.message_id_delivery_tag[message_id] = tag
        confirmation.add_done_callback(lambda _: self._forget(tag, message_id))

    def _forget(self, tag: int, message_id: str) -> None:
        del self._waiting[tag]
        del self._channel.message_id_delivery_tag[message_id]

    def _end(self, closing: asyncio.Future[Any]) -> None:
        error = None if closing.cancelled() else closing.exception()
        for confirmation in self._waiting.values():
            if not confirmation.done():
                confirmation.set_exception(error or aiormq.exceptions.ChannelClosed(None, None))
