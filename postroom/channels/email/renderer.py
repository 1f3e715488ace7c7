"""The parent's side of rendering: one child process, bounded in time and memory, replaced when it dies."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from postroom.base.errors import Unavailable
from postroom.base.version import PACKAGE
from postroom.channels.email.render_process import Job, Result
from postroom.channels.email.template import Rendered, TemplateFailed, TemplateFolders
from postroom.resilience.batcher import Batcher

START_S = 20.0
RENDER_S = 3.0
BATCH_MAX = 32
FRAME_BYTES_MAX = 32 * 1024 * 1024


class Renderer:
    """Renders what waits together in one trip to the process; a rendering takes a fraction of a millisecond.

    A template that runs longer than `render_s` is killed with its process, and the next rendering
    starts a new one; what was rendered with it is tried again by itself. Nothing is started before the
    first rendering.
    """

    def __init__(
        self, folders: TemplateFolders, *, render_s: float = RENDER_S, gather_s: float = 0.0
    ) -> None:
        """`gather_s` as in `Batcher`."""
        self._folders = folders
        self._render_s = render_s
        self._process: Process | None = None
        self._files: dict[str, dict[str, str]] = {}
        self._waiting: Batcher[Job, Rendered] = Batcher(self._render, batch_max=BATCH_MAX, gather_s=gather_s)

    async def render(
        self,
        template: str,
        data: dict[str, Any] | msgspec.Raw,
        *,
        files: Mapping[str, str] | None = None,
        locale: str | list[str] | None = None,
    ) -> Rendered:
        """`data`: a Raw one is JSON. `files`: an earlier version of the template; otherwise it is rendered as
        it is on disk.

        `locale`: the language, as in `Speech.begin`.
        Errors: `TemplateFailed`, its own fault; `Unavailable` when no process can be started.
        """
        values = bytes(data) if isinstance(data, msgspec.Raw) else data
        job = Job(template, values, None if files is None else dict(files), locale)
        return await self._waiting.submit(job)

    async def close(self) -> None:
        await self._waiting.close()
        await self._stop()

    async def _render(self, jobs: Sequence[Job]) -> list[Rendered | Exception]:
        process = self._process or await self._start()
        try:
            async with asyncio.timeout(self._render_s):
                results = await _ask(process, jobs)
        except (TimeoutError, OSError, EOFError) as error:
            await self._stop()
            if len(jobs) > 1:
                return [each for job in jobs for each in await self._render([job])]
            timed_out = isinstance(error, TimeoutError)
            what = (
                f"took longer than {self._render_s:g} s" if timed_out else "the process that renders it died"
            )
            return [TemplateFailed(f"template {jobs[0].template}: {what}")]
        except BaseException:
            await self._stop()  # cancelled half-way: its answer would be taken for the next one's
            raise
        return [self._rendered(job, result) for job, result in zip(jobs, results, strict=True)]

    def _rendered(self, job: Job, result: Result) -> Rendered | Exception:
        if result.error is not None:
            return TemplateFailed(result.error)
        if result.files is not None:
            self._files[job.template] = result.files
        files = self._files[job.template] if job.files is None else job.files
        return Rendered(result.subject, result.text, result.html, files)

    async def _start(self) -> Process:
        command = [sys.executable, "-m", "postroom.channels.email.render_process"]
        command += [self._folders.defaults.to_text(), *(str(each.absolute()) for each in self._folders.added)]
        try:
            self._process = process = await asyncio.create_subprocess_exec(
                *command, stdin=PIPE, stdout=PIPE, env=_environment()
            )
            async with asyncio.timeout(START_S):
                await _read(process)
        except (OSError, EOFError) as error:
            await self._stop()
            raise Unavailable(f"the process that renders templates does not start: {error}") from None
        except BaseException:
            await self._stop()
            raise
        return process

    async def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        if process.returncode is None:
            process.kill()
        await process.wait()


def _environment() -> dict[str, str]:
    """What a Python process needs and no more: templates have no business with our secrets."""
    root = str(PACKAGE.parent)
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TZ") if name in os.environ}
    return {**kept, "PYTHONPATH": path, "PYTHONUTF8": "1"}


async def _ask(process: Process, jobs: Sequence[Job]) -> list[Result]:
    if process.stdin is None:
        raise EOFError
    frame = msgspec.msgpack.encode(jobs)
    process.stdin.write(len(frame).to_bytes(4, "big") + frame)
    await process.stdin.drain()
    return await _read(process)


async def _read(process: Process) -> list[Result]:
    if process.stdout is None:
        raise EOFError
    head = await process.stdout.readexactly(4)  # IncompleteReadError is an EOFError
    size = int.from_bytes(head, "big")
    if size > FRAME_BYTES_MAX:
        raise EOFError
    return msgspec.msgpack.decode(await process.stdout.readexactly(size), type=list[Result])
