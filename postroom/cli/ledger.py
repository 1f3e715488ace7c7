"""`postroom ledger`: several ledgers, whose tenant is where, and moving one."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar

import typer

from postroom.base.clock import SystemClock
from postroom.base.db import DATABASE_AWAY, Connection, connect
from postroom.base.errors import InvalidInput, Unavailable
from postroom.base.settings import Settings, load_settings
from postroom.cli.output import JsonFlag, examples, print_json, print_table
from postroom.cli.session import actor
from postroom.ledgers.directory import newest
from postroom.ledgers.founding import add_ledgers
from postroom.ledgers.model import Busy, Stage, source_of
from postroom.ledgers.mover import Mover, StillOpen
from postroom.ledgers.moves import list_moves
from postroom.ledgers.store import DatabaseLedger

group = typer.Typer(
    help="Several ledgers (POSTROOM_LEDGERS__…): which has what; move a tenant.", no_args_is_help=True
)

T = TypeVar("T")
WAITS: Final = 3
WaitS = Annotated[float, typer.Option("--wait-s", min=0, help="How long to wait for what is open.")]


@dataclass(frozen=True, slots=True)
class Ledgers:
    """Those that are set up, as far as they can be reached."""

    settings: Settings
    reached: dict[str, Connection]

    def store(self, name: str) -> DatabaseLedger:
        """Errors: `InvalidInput` for an unknown name, `Unavailable` for one that is away."""
        if name not in self.settings.ledgers:
            known = ", ".join(self.settings.ledgers)
            raise InvalidInput(f"no ledger is set up as {name}; known: {known}", field="to")
        if name not in self.reached:
            raise Unavailable(f"the ledger {name} cannot be reached")
        return DatabaseLedger(name, self.reached[name], actor=actor())


@group.command("list")
def list_(as_json: JsonFlag = False) -> None:
    """Each ledger: whether it can be reached, its slots, its tenants, and who is on the way."""

    async def work(ledgers: Ledgers) -> list[dict[str, Any]]:
        copies = {name: await ledgers.store(name).fetch_directory() for name in ledgers.reached}
        known = newest(copies.values())
        there = list(known.tenants.values())
        return [
            {
                "name": name,
                "reached": name in copies,
                "in_directory": name in copies and copies[name].name == name,
                "behind": name in copies and copies[name].epoch < known.epoch,
                "slots": known.slots.count(name),
                "tenants": there.count(name),
                "moving": await list_moves(ledgers.reached[name]) if name in copies else [],
            }
            for name in ledgers.settings.ledgers
        ]

    found = _with_ledgers(work)
    if as_json:
        print_json(found)
        return
    moving = {
        name: ", ".join(f"{move.tenant} ({move.step}, {move.age_s:,.0f} s)" for move in each["moving"])
        for each in found
        for name in [each["name"]]
    }
    print_table(
        ("LEDGER", "REACHED", "IN DIRECTORY", "BEHIND", "SLOTS", "TENANTS MOVED IN", "ON THE WAY"),
        (
            (
                each["name"], each["reached"], each["in_directory"], each["behind"], each["slots"],
                each["tenants"], moving[each["name"]] or None,
            )
            for each in found
        ),
        empty="There is one ledger.",
    )  # fmt: skip


@group.command(epilog=examples("postroom ledger add"))
def add(wait_s: WaitS = 60.0, as_json: JsonFlag = False) -> None:
    """Take the ledgers that are set up into the directory; tell all what they do not know yet.

    The first time, they share the slots by weight; if some have messages, those do. A ledger that is added
    later gets no slots: it has the tenants that are moved to it.
    """

    async def work(ledgers: Ledgers) -> Any:
        weights = {name: each.weight for name, each in ledgers.settings.ledgers.items()}
        return await add_ledgers(ledgers.reached, weights, actor=actor(), wait_s=wait_s)

    added = _with_ledgers(work)
    if as_json:
        print_json(added)
        return
    print(f"New: {', '.join(added.new) or 'none'}.")
    for name, count in added.slots.items():
        print(f"{name}: {count} of 1,024 slots")


@group.command(
    epilog=examples(
        "postroom ledger move --tenant acme --to l2",
        "postroom ledger move --tenant acme --to l2 --dry-run",
        "postroom ledger move --tenant acme --to l2 --abort",
    )
)
def move(
    *,
    tenant: Annotated[str, typer.Option(help="Whom to move.")],
    to: Annotated[str, typer.Option(help="The ledger that gets it.")],
    abort: Annotated[
        bool, typer.Option("--abort", help="Leave it where it was, while that is possible.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how things stand.")] = False,
    wait_s: WaitS = 300.0,
    as_json: JsonFlag = False,
) -> None:
    """Move a tenant to another ledger, while everything runs. Run it again after a crash: it goes on.

    Its keys go first; then the old ledger refuses it, the new one takes it, and delivers once the old one
    has nothing of it to deliver any more. Exit code 3: something is still open there; run it again.
    """

    async def work(ledgers: Ledgers) -> dict[str, Any]:
        mover = await _mover(ledgers, tenant, to, wait_s)
        if dry_run or mover is None:
            return await _told(mover, tenant, to)
        if abort:
            await mover.abort()
            return {**await _told(mover, tenant, to), "aborted": True}
        try:
            await mover.run()
        except (StillOpen, Busy) as waits:
            return {**await _told(mover, tenant, to), "waits": waits.detail}
        return await _told(mover, tenant, to)

    told = _with_ledgers(work)
    if as_json:
        print_json(told)
    elif told.get("aborted"):
        print(f"{tenant} stays in {told['from']}.")
    elif told["stage"] == Stage.DONE:
        print(f"{tenant} is in {to}.")
    else:
        print(
            told.get("waits")
            or f"{tenant}: next is '{told['stage']}'; open in {told['from']}: {told['open']}"
        )
    if "waits" in told:
        raise typer.Exit(WAITS)


async def _mover(ledgers: Ledgers, tenant: str, to: str, wait_s: float) -> Mover | None:
    """None where the tenant is there already, and nothing is left to be done."""
    target = ledgers.store(to)
    stores = {name: ledgers.store(name) for name in ledgers.reached}
    for each in stores.values():
        await each.check_name()
    entries = [await each.fetch_entry(tenant) for each in stores.values()]
    directory = newest([await each.fetch_directory() for each in stores.values()])
    source = source_of(tenant, entries, directory, target=to)
    if source == to:
        return None
    return Mover(
        tenant,
        source=ledgers.store(source),
        target=target,
        others=[each for name, each in stores.items() if name not in (source, to)],
        clock=SystemClock(),
        sleep=asyncio.sleep,
        say=lambda line: print(line, file=sys.stderr),
        wait_s=wait_s,
    )


async def _told(mover: Mover | None, tenant: str, to: str) -> dict[str, Any]:
    if mover is None:
        return {"tenant": tenant, "from": to, "to": to, "stage": Stage.DONE, "open": 0}
    open_ = await mover.source.count_open(tenant)
    return {
        "tenant": tenant,
        "from": mover.source.name,
        "to": to,
        "stage": (await mover.look()).stage,
        "open": sum(each.open for each in open_),
    }


def _with_ledgers(work: Callable[[Ledgers], Awaitable[T]]) -> T:
    settings = load_settings(serves=False)
    if not settings.ledgers:
        raise InvalidInput("there is one ledger; POSTROOM_LEDGERS__<NAME>__URL sets up several")

    async def run() -> T:
        async with _reached(settings) as ledgers:
            return await work(ledgers)

    return asyncio.run(run())


@asynccontextmanager
async def _reached(settings: Settings) -> AsyncIterator[Ledgers]:
    async with AsyncExitStack() as stack:
        reached: dict[str, Connection] = {}
        for name, each in settings.ledgers.items():
            try:
                conn = await connect(
                    each.url.get_secret_value(), application="postroom cli", pooler=settings.database_pooler
                )
            except DATABASE_AWAY as error:
                print(f"{name}: cannot be reached ({type(error).__name__})", file=sys.stderr)
                continue
            stack.push_async_callback(conn.close)
            reached[name] = conn
        yield Ledgers(settings, reached)
