"""The bytes of a file."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from uuid import UUID

from postroom.channels.exports.model import ExportRecord
from postroom.channels.exports.ndjson import compress, line

RECORD = ExportRecord(
    id=UUID("01890000-0000-7000-8000-000000000001"),
    type="invoice.paid",
    tenant="cus_1",
    created_at=datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC),
    record='{"text": "a\\nb ü", "amount": 12345678901234567890.10}',
)


def test_a_line_names_its_message_and_holds_the_record() -> None:
    value = json.loads(line(RECORD))
    assert value == {
        "id": "01890000-0000-7000-8000-000000000001",
        "type": "invoice.paid",
        "tenant": "cus_1",
        "created_at": "2026-01-31T12:00:00Z",
        "record": {"text": "a\nb ü", "amount": 12345678901234567890.10},
    }


def test_numbers_keep_every_digit() -> None:
    assert b"12345678901234567890.10" in line(RECORD)


def test_a_record_is_one_line_whatever_it_holds() -> None:
    assert gzip.decompress(compress([RECORD] * 3)) == line(RECORD) * 3
    assert line(RECORD).count(b"\n") == 1


def test_the_same_records_give_the_same_bytes_without_a_time() -> None:
    content = compress([RECORD])
    assert content == compress([RECORD])
    assert content[4:8] == b"\x00\x00\x00\x00"  # RFC 1952: MTIME
