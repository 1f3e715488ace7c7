"""Child processes end when they are told to, and when nobody is left to tell them."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from postroom.dev.log_file import LogFile
from postroom.dev.process import ChildProcess
from tests.processes.commands import ROOT, processes_of

DEAF = """
import signal, time

signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(60)
"""
PARENT = """
import asyncio, pathlib, sys
from postroom.dev.process import ChildProcess, module

async def main():
    command = module("http.server", "0", "-b", "127.0.0.1")
    await ChildProcess.start("child", command, log=pathlib.Path(sys.argv[1]))
    await asyncio.sleep(60)

asyncio.run(main())
"""


async def until_said(process: ChildProcess, text: str) -> None:
    async with asyncio.timeout(20):
        while text not in process.tail():
            await asyncio.sleep(0.02)


async def test_it_ends_when_it_is_told_to_and_its_log_is_complete(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "log")
    process = await ChildProcess.start(
        "server", (sys.executable, "-u", "-m", "http.server", "0", "-b", "127.0.0.1"), log=log
    )
    await until_said(process, "Serving HTTP")
    assert process.exit_code is None
    assert await process.stop() == -signal.SIGTERM
    assert process.exit_code == -signal.SIGTERM


async def test_what_does_not_listen_is_killed(tmp_path: Path) -> None:
    process = await ChildProcess.start("deaf", (sys.executable, "-c", DEAF), log=tmp_path / "log")
    await until_said(process, "deaf")
    assert await process.stop(within_s=0.1) == -signal.SIGKILL


async def test_a_module_is_gone_when_its_parent_was_killed(tmp_path: Path) -> None:
    (tmp_path / "log").touch()
    parent = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PARENT,
        str(tmp_path / "log"),
        cwd=ROOT,
        env={"PYTHONUNBUFFERED": "1", "MARK": str(tmp_path)},
    )
    async with asyncio.timeout(20):
        while "Serving HTTP" not in (tmp_path / "log").read_text():
            await asyncio.sleep(0.02)
    assert len(processes_of(tmp_path)) == 2
    parent.kill()
    await parent.wait()
    async with asyncio.timeout(20):
        while processes_of(tmp_path):
            await asyncio.sleep(0.02)
