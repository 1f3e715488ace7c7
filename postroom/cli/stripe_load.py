"""`postroom stripe load`: all objects that Stripe has, into the mirror."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from postroom.admin import stripe as actions
from postroom.base.errors import InvalidInput, PostroomError
from postroom.base.stripe_account import OWN_ACCOUNT
from postroom.base.stripe_settings import setting_of
from postroom.channels.stripe.load import types_to_load
from postroom.channels.stripe.load_progress import TypeLoad, list_types
from postroom.cli.output import JsonFlag, console, examples, print_json, print_table
from postroom.cli.session import Session, in_session

POLL_S: Final = 1.0

EXAMPLES: Final = examples(
    "postroom stripe load --dry-run",
    "postroom stripe load",
    "postroom stripe load --account eu --type customer --type invoice",
)


class NotLoaded(PostroomError):
    """It has not ended in time; it goes on all the same."""


def load(
    *,
    account: Annotated[str, typer.Option(help="An account of the settings.")] = OWN_ACCOUNT,
    types: Annotated[
        list[str] | None, typer.Option("--type", help="Only these types of objects; may be repeated.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Also what was loaded before, from its start.")
    ] = False,
    wait: Annotated[
        bool, typer.Option(help="Wait until all of it is loaded, and show how far it is.")
    ] = True,
    timeout_s: Annotated[
        float, typer.Option(min=1, help="How long to wait, in seconds; it goes on afterwards.")
    ] = 86_400.0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what there is, and how far it is.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Load all objects that Stripe lists into the mirror. It causes nothing, and can be stopped at any time.

    A runner does it (the job stripe-load), inside the budget of requests; its place is kept in the database.
    What an event has brought meanwhile stays. Types come from POSTROOM_STRIPE__MIRROR, else all are loaded.
    Those that the key may not list, or the account has not, are left out, and it is said.
    """
    if dry_run:
        _show(in_session(lambda session: _planned(session, account, types)), as_json=as_json)
        return
    with console(stderr=True).status("waiting for a runner") as status:

        def told(so_far: Sequence[TypeLoad]) -> None:
            ended = sum(each.ended_at is not None for each in so_far)
            objects = sum(each.objects for each in so_far)
            now = next((each.type for each in so_far if each.ended_at is None), "")
            status.update(f"{ended} of {len(so_far)} types, {objects} objects; {now}")

        async def work(session: Session) -> list[TypeLoad]:
            wanted = _wanted(session, account, types)
            live = session.settings.stripe.by_name()[account].live
            async with session.change() as conn:
                await actions.load(
                    conn, account=account, live=live, types=wanted, again=again, actor=session.actor
                )
            async with asyncio.timeout(timeout_s):
                while True:
                    listed = await list_types(session.conn, account=account, live=live)
                    so_far = [each for each in listed if each.type in wanted]
                    told(so_far)
                    if not wait or all(each.ended_at is not None for each in so_far):
                        return so_far
                    await asyncio.sleep(POLL_S)

        try:
            done = in_session(work)
        except TimeoutError:
            raise NotLoaded(
                f"not all of it was loaded within {timeout_s:g} s; it goes on. Is a runner at work? "
                "See: postroom jobs list, postroom stripe load --dry-run"
            ) from None
    _show(done, as_json=as_json)


async def _planned(session: Session, account: str, types: Sequence[str] | None) -> list[TypeLoad]:
    """What would be loaded: what is there already, and rows of what is not yet asked for."""
    wanted = _wanted(session, account, types)
    live = session.settings.stripe.by_name()[account].live
    known = {each.type: each for each in await list_types(session.conn, account=account, live=live)}
    at = datetime.now(UTC)
    fresh = {name: TypeLoad(account, live, name, None, 0, at, None, None) for name in wanted}
    return [known.get(name, row) for name, row in fresh.items()]


def _wanted(session: Session, account: str, types: Sequence[str] | None) -> list[str]:
    """Errors: `InvalidInput` for an account, or a type, that there is not; `types` None or empty: all."""
    stripe = session.settings.stripe
    settings = stripe.account(account)
    if settings is None:
        raise InvalidInput(f"the settings have no account {account}", field="account")
    if settings.api_key is None:
        key = setting_of(account, "API_KEY")
        raise InvalidInput(f"{key} is not set", field=key)
    known = types_to_load(None)
    if unknown := [each for each in types or () if each not in known]:
        raise InvalidInput(f"Stripe lists no objects of type {unknown[0]}", field="type")
    return sorted(set(types)) if types else types_to_load(stripe.mirror)


def _show(loads: Sequence[TypeLoad], *, as_json: bool) -> None:
    if as_json:
        print_json(
            [
                {
                    "account": each.account,
                    "type": each.type,
                    "state": each.state.replace(" ", "_"),
                    "objects": each.objects,
                    "left_out": each.left_out,
                }
                for each in loads
            ]
        )
        return
    print_table(
        ("TYPE", "STATE", "OBJECTS", "WHY"),
        ((each.type, each.state, each.objects, each.left_out) for each in loads),
        empty="There is nothing to load.",
    )
    print(f"{sum(each.objects for each in loads)} objects of {len(loads)} types.")
