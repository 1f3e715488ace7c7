"""What JetStream's answers mean."""

from __future__ import annotations

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from postroom.channels.webhooks.brokers.nats import judge
from postroom.outbox.model import Delivered, Outcome, Rejected, RetryLater, Trip, Unknown

_PROTOCOL = Unknown("the acknowledgement was not understood", code="protocol")


@pytest.mark.parametrize(
    ("data", "meant"),
    [
        (b'{"stream":"ORDERS","seq":7,"duplicate":true}', Delivered("stored", "stream ORDERS, sequence 7")),
        (
            b'{"error":{"code":400,"err_code":10054,"description":"too large"},"stream":"ORDERS","seq":0}',
            Rejected("larger than the stream takes", code="too_large", detail="too large"),
        ),
        (
            b'{"error":{"code":503,"err_code":10077,"description":"full"},"stream":"ORDERS","seq":0}',
            RetryLater("JetStream refused it: 10077", code="10077", detail="full"),
        ),
        *((data, _PROTOCOL) for data in (b"", b"+OK", b"[]", b"{}", b'{"stream":"\xff"}', b'{"seq":"1"}')),
    ],
)
def test_an_answer_is_understood_or_unknown(data: bytes, meant: Outcome) -> None:
    assert judge(Msg(Client(), data=data)) == meant


def test_without_a_stream_nobody_answers() -> None:
    answer = Msg(Client(), headers={"Status": "503"})
    assert judge(answer) == RetryLater("no stream listens to the subject", code="no_stream", trip=Trip.NO)
