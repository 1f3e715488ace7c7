"""`postroom serve`: the HTTP process."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from postroom.base.log import configure_logging
from postroom.base.settings import Settings, load_settings
from postroom.cli.output import examples
from postroom.cli.session import open_database

PROD_DRAIN_S: Final = 2.0


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
        listener_fd: Annotated[int | None, typer.Option(hidden=True, min=3)] = None,
    ) -> None:
        """Serve the HTTP API. Jobs run in a process of their own: postroom work"""
        settings = load_settings()
        if drain_s is None:
            drain_s = PROD_DRAIN_S if settings.prod else 0.0
        configure_logging(json_lines=settings.json_lines, level=settings.log_level.upper())
        _serve(settings, drain_s, listener_fd)


def _serve(settings: Settings, drain_s: float, listener_fd: int | None) -> None:
    # Imported late: the whole service is behind it, which no other command should pay for.
    import uvloop

    from postroom.base.tracing import tracing
    from postroom.cli.server import serve_http

    with tracing("postroom-api"), open_database(settings) as database:
        uvloop.run(serve_http(settings, database.dsn, drain_s=drain_s, listener_fd=listener_fd))
