"""The mail catcher as a process of its own, as drills and `postroom up` use it."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path

import aiosmtplib
import pytest

WAIT_S = 20.0


@pytest.fixture
async def process(tmp_path: Path) -> AsyncIterator[Process]:
    command = [sys.executable, "-m", "postroom.dev.mailbox", "--port", "0", "--user", "u", "--password", "p"]
    process = await asyncio.create_subprocess_exec(
        *command, "--faults", str(tmp_path / "faults.json"), stdout=PIPE, stderr=PIPE
    )
    yield process
    if process.returncode is None:
        process.kill()
    await process.wait()


async def port_of(process: Process) -> int:
    assert process.stderr is not None
    line = await asyncio.wait_for(process.stderr.readline(), WAIT_S)
    return int(line.rsplit(b":", 1)[1])


async def send(port: int, password: str = "p") -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "a@x.example", "b@x.example", "Grüße"
    message.set_content("Good day")
    async with aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=False, timeout=WAIT_S) as client:
        await client.login("u", password)
        await client.send_message(message)


async def test_it_prints_each_mail_breaks_and_mends_on_demand_and_stops_on_sigterm(
    process: Process, tmp_path: Path
) -> None:
    port = await port_of(process)
    assert process.stdout is not None
    await send(port)
    mail = json.loads(await asyncio.wait_for(process.stdout.readline(), WAIT_S))
    assert mail["recipients"] == ["b@x.example"]
    assert mail["headers"]["Subject"] == "Grüße"
    assert mail["text"].strip() == "Good day"

    with pytest.raises(aiosmtplib.SMTPAuthenticationError):
        await send(port, password="wrong")
    faults = tmp_path / "faults.json"
    faults.write_text(json.dumps({"refuse": {"b@x.example": "550 5.1.1 gone"}}))
    with pytest.raises(aiosmtplib.SMTPRecipientsRefused):
        await send(port)
    faults.write_text(json.dumps({"login_answer": "454 4.7.0 later"}))
    with pytest.raises(aiosmtplib.SMTPAuthenticationError, match="454"):
        await send(port)
    faults.unlink()
    await send(port)
    assert await asyncio.wait_for(process.stdout.readline(), WAIT_S)

    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), WAIT_S) == 0
