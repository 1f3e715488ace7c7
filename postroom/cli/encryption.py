"""`postroom encryption`: payloads at rest, their keys, and encrypting them again."""

from __future__ import annotations

from typing import Annotated

import typer

from postroom.admin import encryption as ops
from postroom.admin.encryption import KeyState, KeyUse, Rotated
from postroom.base.encryption_keys import SETTING
from postroom.cli.output import JsonFlag, console, examples, print_json, print_table
from postroom.cli.session import Session, in_session
from postroom.encryption.keyring import new_key

group = typer.Typer(help=f"Payloads encrypted at rest ({SETTING}).", no_args_is_help=True)


@group.command(
    "new-key",
    epilog=examples(
        "postroom encryption new-key 2025a",
        f'export {SETTING}="$OLD_KEYS,$(postroom encryption new-key 2025b)"',
    ),
)
def create(
    name: Annotated[str, typer.Argument(help="Names the key permanently; never use a name twice.")],
) -> None:
    """Print a new random key for the setting. It is not stored."""
    print(new_key(name))


@group.command(epilog=examples("postroom encryption status", "postroom encryption status --json"))
def status(as_json: JsonFlag = False) -> None:
    """What is encrypted with which key. Exit code 1 if a key is missing. Reads all payloads, in batches."""

    async def work(session: Session) -> list[KeyUse]:
        return await ops.count_keys(session.change, keyring=session.keyring)

    with console(stderr=True).status("counting"):
        uses = in_session(work)
    if as_json:
        print_json(uses)
    else:
        print_table(
            ("TABLE", "KEY", "STATE", "ROWS"),
            [(use.table, use.key, use.state, use.count) for use in uses],
            empty="Nothing holds a payload.",
        )
    if any(use.state is KeyState.MISSING for use in uses):
        raise typer.Exit(1)


@group.command(
    epilog=examples(
        "postroom encryption rotate",
        "postroom encryption rotate --pace 500 --json",
        "(to change keys: docs/how-to/rotate-secrets.md)",
    )
)
def rotate(
    pace: Annotated[float, typer.Option(min=1, help="Rows per second at most.")] = 2_000,
    as_json: JsonFlag = False,
) -> None:
    """Encrypt with the first key what is in plain text or under another. Exit code 1: a key is missing."""
    with console(stderr=True).status("encrypting") as shown:

        async def work(session: Session) -> list[Rotated]:
            return await ops.rotate(
                session.change,
                keyring=session.keyring,
                pace_per_s=pace,
                progress=lambda table, count: shown.update(f"sealing {table}: {count}"),
                actor=session.actor,
            )

        rotated = in_session(work)
    if as_json:
        print_json(rotated)
    else:
        print_table(
            ("TABLE", "SEALED", "UNREADABLE"),
            [(each.table, each.sealed, each.unreadable) for each in rotated],
            empty="Nothing to encrypt.",
        )
    if any(each.unreadable for each in rotated):
        raise typer.Exit(1)
