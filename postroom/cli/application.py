"""All commands. The module of one is imported when it is invoked, so that none pays for the others."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

from postroom.base.foreign_text import visible
from postroom.base.version import VERSION

COMMANDS: Final = {
    "up": "Run everything in one terminal, for development: database, API, runner, mail catcher, receiver.",
    "serve": "Serve the HTTP API. Jobs run in a process of their own: postroom work",
    "work": "Run the background jobs. Run as many as you like, on as many machines.",
    "migrate": "Bring the database's schema up to date with this version.",
    "publish": "Publish a message and print its id.",
    "messages": "Messages: what was published, and what became of it.",
    "dead-letter": "Dead letters: what was given up, and why.",
    "replay": (
        "Send dead letters again: one message's, or all that match every filter given, the oldest first."
    ),
    "replays": "Replays of many: their progress; pause, resume or undo them.",
    "deliver-now": "Do not wait for the next attempt: what waits of a message is due now.",
    "jobs": "Background jobs.",
    "channel": "Channels: pause one, resume it.",
    "limit": "Limits: starts a second and deliveries in flight, of all runners together.",
    "schedule": "Schedules of tasks: list, pause, resume, run one now.",
    "endpoint": "Tenants' endpoints for webhooks.",
    "export": "Export files: list them, write them again.",
    "publisher": "What the login roles of your applications may publish by SQL.",
    "routes": "The routes file and the handlers, tried without a database.",
    "stripe": "Stripe's events.",
    "ledger": "Several ledgers (POSTROOM_LEDGERS__…): which has what; move a tenant.",
    "token": "Access tokens of the HTTP API.",
    "sessions": "Who is signed in to the console; end a session.",
    "suppression": "Addresses that are never emailed.",
    "unsubscribe": "Who has unsubscribed from a category of mail.",
    "template": "Mail templates: preview, send a test, check.",
    "encryption": "Payloads encrypted at rest (POSTROOM_ENCRYPTION__KEYS).",
    "audit": "The audit trail: who changed or looked at what.",
    "erase": "Empty every message that contains this address, and what else holds it.",
    "doctor": "Say what is wrong and the command that mends it. Exit code 1 when something is broken.",
}
"""What each does, as its own help begins (a test compares them), in the order of the help page.

`dead-letter` is the module `dead_letter`: it has a `group`, or `register` adds the command.
"""


class LazyGroup(TyperGroup):
    """Shows `COMMANDS` and those of its own, and imports the one that is invoked."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        listed = {name: TyperCommand(name, help=help_) for name, help_ in COMMANDS.items()}
        self.commands = {**listed, **self.commands}

    def format_help(self, ctx: Any, formatter: Any) -> None:
        # Plain, without the tables of Rich: to import them takes longer than all the rest.
        super(TyperGroup, self).format_help(ctx, formatter)
        formatter.write("\n")

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - the name is Typer's
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.help or "") for name, command in self.commands.items()])

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        if name not in COMMANDS:
            return name, command, rest
        from postroom.base.log import configure_logging

        configure_logging(json_lines=False, level="ERROR")  # what `serve` logs, it decides itself
        return name, load(name), rest


def load(name: str) -> Any:
    """The whole command or group of this name."""
    module = import_module(f"postroom.cli.{name.replace('-', '_')}")
    parent = typer.Typer(rich_markup_mode="rich", callback=lambda: None)
    if hasattr(module, "group"):
        parent.add_typer(module.group, name=name)
    else:
        module.register(parent)
    whole: Any = typer.main.get_command(parent)
    return whole.commands[name]


def build() -> typer.Typer:
    """The command `postroom`."""
    application = typer.Typer(
        cls=LazyGroup,
        name="postroom",
        help="Reliable side effects for PostgreSQL and Stripe: what must happen because something happened.",
        epilog="Settings come from the environment (POSTROOM_*). Start with: postroom up --demo",
        no_args_is_help=True,
        rich_markup_mode="rich",
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @application.callback()
    def postroom(
        version: Annotated[  # noqa: ARG001  its callback acts
            bool,
            typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version."),
        ] = False,
        ledger: Annotated[
            str | None,
            typer.Option(metavar="NAME", help="Which ledger, where there are several (POSTROOM_LEDGER)."),
        ] = None,
    ) -> None:
        if ledger is not None:
            os.environ["POSTROOM_LEDGER"] = ledger  # a setting, which processes of ours inherit

    @application.command("version")
    def print_version() -> None:
        """Print the version."""
        print(VERSION)

    return application


def _print_version(wanted: bool) -> None:
    if wanted:
        print(VERSION)
        raise typer.Exit


def main() -> int:
    """Run the command. Exit codes: 0 done, 1 failed, 2 wrong use."""
    try:
        build()(prog_name="postroom")
    except Exception as error:
        # Imported late: the database driver is behind it.
        from postroom.cli.failures import explain

        failure = explain(error)
        if failure is None:
            raise
        print(*map(visible, failure.lines), sep="\n", file=sys.stderr)
        return failure.code
    return 0
