"""`python -m chaos.outside receiver|mailbox …`: what is beyond Postroom, in a mood that the plan sets.

Every arrival is one line in the log file before it is answered, so that it counts even when this
process is killed next.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from postroom.dev.mailbox import AfterData, Faults, Mailbox, ReceivedMail
from postroom.dev.receiver import Received, Receiver

LOOK_S: Final = 0.05
GOOD: Final = "good"
RECEIVER_MOODS: Final = {
    GOOD: ("ok",),
    "drops": ("drop", "ok"),
    "late": ("slow/4", "slow/0.5", "ok"),
    "twice": ("twice", "ok"),
    "refuses": ("status/500", "status/503", "busy/1", "ok"),
    "wild": ("drop", "slow/4", "twice", "status/500", "garbage", "stall", "ok"),
}
MAILBOX_MOODS: Final = {
    GOOD: (Faults(),),
    "drops": (Faults(after_data=AfterData.CLOSE), Faults()),
    "late": (Faults(after_data=AfterData.HANG), Faults()),
    "twice": (Faults(after_data=AfterData.TWICE), Faults()),
    "refuses": (Faults(data_answer="451 4.3.0 try later"), Faults(busy=True), Faults()),
    "wild": (
        Faults(after_data=AfterData.CLOSE),
        Faults(after_data=AfterData.HANG),
        Faults(after_data=AfterData.TWICE),
        Faults(data_answer="452 4.3.1 disk is full"),
        Faults(greylist=True),
        Faults(),
    ),
}
MOODS: Final = tuple(RECEIVER_MOODS)


class Line(msgspec.Struct):
    """One arrival. `fault`: what is wrong with its signature, if anything."""

    token: str
    id: str
    fault: str | None = None


class _Data(msgspec.Struct):
    token: str = ""


class _Envelope(msgspec.Struct):
    data: _Data


class Log:
    """Appends whole lines; each is in the kernel's hands when `write` returns."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, line: Line) -> None:
        os.write(self._descriptor, msgspec.json.encode(line) + b"\n")


def mood_in(path: Path) -> str:
    """What the file says now; no file, a good mood."""
    try:
        mood = path.read_text().strip()
    except FileNotFoundError:
        return GOOD
    return mood if mood in MOODS else GOOD


async def _receive(options: argparse.Namespace, log: Log, stop: asyncio.Event) -> None:
    dice = random.Random()
    mood = GOOD

    def arrived(received: Received) -> None:
        token = msgspec.json.decode(received.body, type=_Envelope).data.token
        log.write(Line(token, received.id, received.fault))
        receiver.behaviour = dice.choice(RECEIVER_MOODS[mood])

    receiver = Receiver(secrets=options.secret, port=options.port, on_received=arrived)
    async with receiver:
        while not stop.is_set():
            mood = mood_in(options.mood)
            await _pause(stop)


async def _keep_mail(options: argparse.Namespace, log: Log, stop: asyncio.Event) -> None:
    dice = random.Random()

    def arrived(mail: ReceivedMail) -> None:
        log.write(Line(mail.recipients[0].partition("@")[0], mail.message_id.strip("<>")))

    mailbox = Mailbox(port=options.port, on_mail=arrived)
    await mailbox.start()
    try:
        while not stop.is_set():
            mailbox.faults = dice.choice(MAILBOX_MOODS[mood_in(options.mood)])
            await _pause(stop)
    finally:
        await mailbox.close()


async def _pause(stop: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(LOOK_S):
            await stop.wait()
    except TimeoutError:
        return


async def _serve(options: argparse.Namespace) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    serve = _receive if options.what == "receiver" else _keep_mail
    await serve(options, Log(options.log), stop)


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m chaos.outside")
    parser.add_argument("what", choices=("receiver", "mailbox"))
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--mood", type=Path, required=True)
    parser.add_argument("--secret", action="append", default=[])
    asyncio.run(_serve(parser.parse_args(arguments)))


if __name__ == "__main__":
    main(sys.argv[1:])
