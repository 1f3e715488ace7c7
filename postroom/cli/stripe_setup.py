"""`postroom stripe setup`: the endpoints at Stripe, as the settings, routes and handlers want them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from postroom.admin import stripe as actions
from postroom.base.clock import SystemClock
from postroom.base.errors import InvalidInput, PostroomError
from postroom.base.foreign_text import visible
from postroom.base.stripe_account import OWN_ACCOUNT
from postroom.base.stripe_settings import setting_of
from postroom.channels.stripe.effects import Effects
from postroom.channels.stripe.endpoint_plan import Plan, Wish, plan_endpoints
from postroom.channels.stripe.endpoints import Made
from postroom.channels.stripe.setup import Applied, EndpointSetup
from postroom.channels.stripe.wishes import wish_of
from postroom.cli.output import JsonFlag, console, examples, print_json
from postroom.cli.secret_file import SecretFile, open_secret_file
from postroom.cli.session import Session, in_session

EXAMPLES: Final = examples(
    "postroom stripe setup --dry-run",
    "postroom stripe setup --write /etc/postroom/stripe-webhook-secrets",
    "postroom stripe setup --account eu --upgrade 2026-10-28.endive",
    "postroom stripe setup --delete-old",
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command was told."""

    account: str
    upgrade: str | None
    delete_old: bool
    new_secret: bool
    wait_s: float
    dry_run: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was found and done. `kept`: each new secret, or the file it went to."""

    wish: Wish
    plan: Plan
    applied: Applied
    kept: Sequence[dict[str, Any]]


def setup(
    *,
    account: Annotated[str, typer.Option(help="Of the settings: eu. By default the one without a name.")] = (
        OWN_ACCOUNT
    ),
    write: Annotated[
        Path | None,
        typer.Option(help="Add a new secret to this file, which …WEBHOOK_SECRETS_FILE names."),
    ] = None,
    upgrade: Annotated[
        str | None,
        typer.Option(help="A second endpoint in this API version, beside the one that is pinned."),
    ] = None,
    delete_old: Annotated[
        bool, typer.Option("--delete-old", help="End the endpoints of other versions than the pinned one.")
    ] = False,
    new_secret: Annotated[
        bool, typer.Option("--new-secret", help="Replace the endpoints by new ones, with new secrets.")
    ] = False,
    wait_s: Annotated[
        float, typer.Option(min=0, max=86_400, help="How long to wait for Stripe, a request, in seconds.")
    ] = 60.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Make the webhook endpoints at Stripe what routes, handlers and the mirror need. Run it at any time.

    They lead to POSTROOM_STRIPE__WEBHOOK_URL, in the version POSTROOM_STRIPE__API_VERSION. Stripe tells the
    secret of a new endpoint once: it is printed as a line of the settings, or added to a file by --write.

    Needs POSTROOM_STRIPE__API_KEY with the right to write webhook endpoints.
    """
    if upgrade and delete_old:
        raise typer.BadParameter("--upgrade begins what --delete-old ends: one of them")
    asked = Asked(account, upgrade, delete_old, new_secret, wait_s, dry_run)
    opened: AbstractContextManager[SecretFile | None] = nullcontext()
    if write is not None and not dry_run:
        opened = open_secret_file(write)
    with opened as file:
        keeper = _Keeper(account, write, file, as_json=as_json)
        try:
            outcome = in_session(lambda session: _set_up(session, asked, keeper), serves=False)
        except BaseException as stopped:
            if as_json and keeper.kept:  # or they would be lost
                reason = stopped.detail if isinstance(stopped, PostroomError) else type(stopped).__name__
                print_json({"account": account, "failed": [reason], "secrets": keeper.kept})
            raise
    if as_json:
        print_json(_as_json(outcome, asked))
    else:
        _show(outcome, asked)
    if outcome.applied.failed or any(remark.wrong for remark in outcome.plan.remarks):
        raise typer.Exit(1)


async def _set_up(session: Session, asked: Asked, keeper: _Keeper) -> Outcome:
    # Imported late: all channels are behind it, which no other command should pay for.
    from postroom.wiring import open_effects, open_stripe_apis

    with redirect_stdout(sys.stderr):  # what a handlers file prints is none of our answer
        async with open_effects(session.settings) as (effects, _):
            wish = _wish(session, asked, effects)
    async with open_stripe_apis(session.settings, session.dsn) as apis:

        def waits(reason: str, pause_s: float) -> None:
            console(stderr=True).print(f"waiting {pause_s:.0f} s: {reason}", markup=False)

        endpoints = EndpointSetup(apis[asked.account], clock=SystemClock(), wait_s=asked.wait_s, waits=waits)
        plan = plan_endpoints(await endpoints.look(wish), wish)
        applied = Applied()
        if not asked.dry_run:
            applied = await actions.set_up(
                endpoints, plan, wish, keep=keeper, transactions=session.change, actor=session.actor
            )
    return Outcome(wish, plan, applied, keeper.kept)


def _wish(session: Session, asked: Asked, effects: Effects) -> Wish:
    """Errors: `InvalidInput` for what the settings lack."""
    stripe = session.settings.stripe
    account = stripe.account(asked.account)
    if account is None:
        raise InvalidInput(
            f"the settings have no account {asked.account}; they have {', '.join(stripe.by_name())}",
            field="--account",
        )
    key = setting_of(asked.account, "API_KEY")
    if account.api_key is None:
        raise InvalidInput(f"{key} is not set", field=key)
    if stripe.webhook_url is None:
        told = "not set; export POSTROOM_STRIPE__WEBHOOK_URL=https://…/v1/stripe/webhook"
        raise InvalidInput(told, field="POSTROOM_STRIPE__WEBHOOK_URL")
    if account.live and not stripe.webhook_url.startswith("https://"):
        raise InvalidInput("a live account needs https://", field="POSTROOM_STRIPE__WEBHOOK_URL")
    if asked.upgrade is not None and account.api_version is None:
        version = setting_of(asked.account, "API_VERSION")
        told = "not set: of two versions, routes would see whichever comes first; pin the one of today"
        raise InvalidInput(told, field=version)
    return wish_of(
        stripe,
        asked.account,
        effects,
        upgrade_to=asked.upgrade if asked.upgrade != account.api_version else None,
        delete_old=asked.delete_old,
        new_secret=asked.new_secret,
    )


class _Keeper:
    """Keeps each secret the moment it is known; what a file does not take is printed."""

    def __init__(self, account: str, path: Path | None, file: SecretFile | None, *, as_json: bool) -> None:
        self._setting = setting_of(account, "WEBHOOK_SECRETS")
        self._path = path
        self._file = file
        self._as_json = as_json
        self.kept: list[dict[str, Any]] = []

    def __call__(self, made: Made) -> None:
        entry = {"endpoint_id": made.endpoint.id, "kind": made.endpoint.kind, "setting": self._setting}
        secret = made.secret.get_secret_value()
        if self._file is not None:
            try:
                self._file.add(made.secret)
            except OSError as error:
                print(f"{self._path} cannot be written: {error.strerror}", file=sys.stderr)
            else:
                self.kept.append({**entry, "file": str(self._path)})
                return
        self.kept.append({**entry, "secret": secret})
        if not self._as_json:
            name = self._setting
            print(f'{name}="${{{name}:+${name},}}{secret}"', flush=True)


def _show(outcome: Outcome, asked: Asked) -> None:
    for step in outcome.plan.steps if asked.dry_run else ():
        print(visible(f"would {step}"))
    for line in outcome.applied.done:
        print(visible(f"✓ {line}"))
    for line in outcome.applied.failed:
        print(visible(f"✗ {line}"))
    for remark in outcome.plan.remarks:
        print(visible(f"! {remark.text}"))
        if remark.command:
            print(f"  → {remark.command}")
    for kept in outcome.kept:
        place = f"is in {kept['file']}" if "file" in kept else "is the line above, for postroom serve"
        print(f"The secret of {kept['endpoint_id']} {place}; Stripe does not tell it again.")
    if not outcome.plan.steps:
        print("Nothing to change: Stripe has what the settings want.")


def _as_json(outcome: Outcome, asked: Asked) -> dict[str, Any]:
    return {
        "account": outcome.wish.via,
        "dry_run": asked.dry_run,
        "steps": [step.described() for step in outcome.plan.steps],
        "done": outcome.applied.done,
        "failed": outcome.applied.failed,
        "remarks": outcome.plan.remarks,
        "secrets": outcome.kept,
    }
