"""The process that renders templates: `python -m postroom.channels.email.render_process [FOLDER]`.

Frames on standard input and output: four bytes of length, then MessagePack. A process of its own
has a limit on memory and can be killed; a thread could be neither bounded nor stopped.
"""

from __future__ import annotations

import resource
import signal
import sys
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from postroom.channels.email.template import TemplateFailed, TemplateFolders, Templates

MEMORY_BYTES_MAX = 512 * 1024 * 1024
JOB_S_MAX = 10
"""The parent kills sooner; this ends a runaway job whose parent has died."""


class Job(msgspec.Struct, frozen=True):
    template: str
    data: dict[str, Any]


class Result(msgspec.Struct, frozen=True):
    """`error` is set, or the other three are. The first frame of all is empty: it says that it is ready."""

    subject: str = ""
    text: str = ""
    html: str = ""
    error: str | None = None


def render(templates: Templates, job: Job) -> Result:
    try:
        done = templates.render(job.template, job.data)
    except TemplateFailed as error:
        return Result(error=str(error))
    return Result(done.subject, done.text, done.html)


def serve(source: BinaryIO, sink: BinaryIO, templates: Templates) -> None:
    """Answer lists of jobs until the other end closes, which is also how the death of the parent shows."""
    _write(sink, [])
    while len(head := source.read(4)) == 4:
        jobs = msgspec.msgpack.decode(source.read(int.from_bytes(head, "big")), type=list[Job])
        signal.alarm(JOB_S_MAX)
        templates.next_batch()
        results = [render(templates, job) for job in jobs]
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
    own = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    serve(sys.stdin.buffer, sys.stdout.buffer, Templates(TemplateFolders(own)))


if __name__ == "__main__":
    main()
