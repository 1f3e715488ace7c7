"""`postroom serve`: the HTTP process."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer

from postroom.base.listener import listen
from postroom.base.log import configure_logging
from postroom.base.settings import Settings, load_settings
from postroom.cli.output import examples
from postroom.cli.processes import process_count
from postroom.cli.session import open_database, told_to_children

PROD_DRAIN_S: Final = 2.0
STOP_WITHIN_S: Final = 20.0
"""Of a worker, once it is drained: 10 s for requests in flight, and what it then closes."""


def register(application: typer.Typer) -> None:
    @application.command(epilog=examples("postroom serve", "POSTROOM_PORT=9000 postroom serve --drain-s 5"))
    def serve(
        drain_s: Annotated[
            float | None,
            typer.Option(
                min=0,
                max=300,
                help="After SIGTERM, how many seconds it is not ready before it stops; 2 in prod, else 0.",
            ),
        ] = None,
        workers: Annotated[
            str,
            typer.Option(metavar="N|auto", help="So many processes at one port; auto: as many as cores."),
        ] = "1",
        listener_fd: Annotated[int | None, typer.Option(hidden=True, min=3)] = None,
        worker: Annotated[int | None, typer.Option(hidden=True, min=0)] = None,
    ) -> None:
        """Serve the HTTP API. Jobs run in a process of their own: postroom work

        With --workers, one that ends is started again, and SIGHUP replaces all of them, one after the other.
        """
        count = process_count(workers)
        settings = load_settings()
        if drain_s is None:
            drain_s = PROD_DRAIN_S if settings.prod else 0.0
        configure_logging(json_lines=settings.json_lines, level=settings.log_level.upper())
        if count > 1:
            raise typer.Exit(_supervise(settings, drain_s, count, listener_fd))
        _serve(settings, drain_s, listener_fd, worker)


def _serve(settings: Settings, drain_s: float, listener_fd: int | None, worker: int | None) -> None:
    # Imported late: the whole service is behind it, which no other command should pay for.
    import uvloop

    from postroom.base.tracing import tracing
    from postroom.cli.server import serve_http, serve_ledgers

    with tracing("postroom-api"):
        if settings.ledgers:
            uvloop.run(serve_ledgers(settings, drain_s=drain_s, listener_fd=listener_fd, worker=worker))
            return
        with open_database(settings) as database:
            uvloop.run(
                serve_http(settings, database.dsn, drain_s=drain_s, listener_fd=listener_fd, worker=worker)
            )


def _supervise(settings: Settings, drain_s: float, count: int, listener_fd: int | None) -> int:
    """They share our listening socket, so that callers wait for one of them where there would be none."""
    from prometheus_client.multiprocess import mark_process_dead

    from postroom.cli.supervisor import Supervisor, same_command

    with (
        told_to_children(settings) as environment,
        listen(settings.host, settings.port, inherited=listener_fd) as listener,
        _counters(settings.state_dir, *listener.getsockname()[:2]) as folder,
    ):
        shared = ("--workers", "1", "--listener-fd", str(listener.fileno()))
        supervisor = Supervisor(
            "workers",
            count,
            command=lambda number: same_command(*shared, "--worker", str(number)),
            environment={**environment, "PROMETHEUS_MULTIPROC_DIR": folder},
            descriptors=[listener.fileno()],
            stop_within_s=drain_s + STOP_WITHIN_S,
            # What was in progress there is no more.
            on_end=lambda number: mark_process_dead(number, folder),  # type: ignore[no-untyped-call]
        )
        return asyncio.run(supervisor.run())


@contextmanager
def _counters(state_dir: Path, host: str, port: int) -> Iterator[str]:
    """A folder for what the workers count: its name is ours as the address is, so a killed one leaves one."""
    folder = state_dir / "workers" / f"{host}-{port}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield str(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
