"""The process that renders templates: `python -m postroom.channels.email.render_process DEFAULTS FOLDER...`.

DEFAULTS may be empty, see `defaults`; the FOLDERs are those beside the shipped one, the first wins.

Frames on standard input and output: four bytes of length, then MessagePack. A process of its own
has a limit on memory and can be killed; a thread could be neither bounded nor stopped.
"""

from __future__ import annotations

import resource
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from postroom.channels.email.defaults import read_defaults
from postroom.channels.email.template import TemplateFailed, TemplateFolders, Templates

MEMORY_BYTES_MAX = 512 * 1024 * 1024
JOB_S_MAX = 10
"""The parent kills sooner; this ends a runaway job whose parent has died."""


class Job(msgspec.Struct, frozen=True):
    """`data` as bytes is JSON. `files`: the version to render, by name; otherwise it is the one on disk.
    `locale`: which language."""

    template: str
    data: dict[str, Any] | bytes
    files: dict[str, str] | None = None
    locale: Any = None


class Result(msgspec.Struct, frozen=True):
    """`error` is set, or the first three are. The first frame of all is empty: it says that it is ready.

    `files`: what a template on disk was rendered from, where that is not what the last result of it told.
    """

    subject: str = ""
    text: str = ""
    html: str = ""
    error: str | None = None
    files: dict[str, str] | None = None


class Rendering:
    """Answers jobs, and remembers which version of each template the parent knows."""

    def __init__(self, templates: Templates) -> None:
        self._templates = templates
        self._told: dict[str, Mapping[str, str]] = {}

    def answer(self, jobs: list[Job]) -> list[Result]:
        self._templates.next_batch()
        return [self._answer(job) for job in jobs]

    def _answer(self, job: Job) -> Result:
        data = msgspec.json.decode(job.data) if isinstance(job.data, bytes) else job.data
        try:
            done = self._templates.render(job.template, data, job.files, job.locale)
        except TemplateFailed as error:
            return Result(error=str(error))
        if job.files is not None or self._told.get(job.template) is done.files:
            return Result(done.subject, done.text, done.html)
        self._told[job.template] = done.files
        return Result(done.subject, done.text, done.html, files=dict(done.files))


def serve(source: BinaryIO, sink: BinaryIO, templates: Templates) -> None:
    """Answer lists of jobs until the other end closes, which is also how the death of the parent shows."""
    rendering = Rendering(templates)
    _write(sink, [])
    while len(head := source.read(4)) == 4:
        jobs = msgspec.msgpack.decode(source.read(int.from_bytes(head, "big")), type=list[Job])
        signal.alarm(JOB_S_MAX)
        results = rendering.answer(jobs)
        signal.alarm(0)
        _write(sink, results)


def _write(sink: BinaryIO, results: list[Result]) -> None:
    frame = msgspec.msgpack.encode(results)
    sink.write(len(frame).to_bytes(4, "big") + frame)
    sink.flush()


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, defaults, *added = sys.argv
    folders = TemplateFolders(None, read_defaults(defaults), of_apps=[Path(each) for each in added])
    serve(sys.stdin.buffer, sys.stdout.buffer, Templates(folders))


if __name__ == "__main__":
    main()
