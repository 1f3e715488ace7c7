"""`postroom erase`: one person leaves the ledger."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from postroom.admin import erasure
from postroom.admin.erasure import ErasureReport
from postroom.cli.output import JsonFlag, examples, print_json
from postroom.cli.session import Session, in_session

TIME_MAX_S: Final = 86_400.0


def register(application: typer.Typer) -> None:
    application.command(
        epilog=examples(
            "postroom erase --email ada@example.com", "postroom erase --email ada@example.com --cancel-open"
        )
    )(erase)


def erase(
    email: Annotated[str, typer.Option(help="The person's address.")],
    cancel_open: Annotated[
        bool, typer.Option("--cancel-open", help="Also cancel what waits to be sent.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Empty every message that contains this address, and what else holds it."""
    who = erasure.person(email)

    async def work(session: Session) -> ErasureReport:
        return await erasure.erase(
            session.change,
            who=who,
            cancel_open=cancel_open,
            time_max_s=TIME_MAX_S,
            keyring=session.keyring,
            actor=session.actor,
        )

    report = in_session(work)
    if as_json:
        print_json(report)
        return
    print(
        f"Erased: {report.messages} messages, {report.attempts} attempts, {report.dead_letters} dead letters,"
        f" {report.stripe_objects} Stripe objects, {report.audit_entries} audit entries,"
        f" {report.replays} replays; {report.cancelled} deliveries cancelled."
    )
    for path in report.export_files:
        print(f"Will be replaced without the person's lines, by the job export-files: {path}")
    for message_id in report.open_messages:
        print(f"Left alone, not ended yet; erase again later or with --cancel-open: {message_id}")
    for endpoint_id in report.endpoints:
        print(f"An endpoint's url or tenant holds the address, change or delete it: {endpoint_id}")
    if report.unreadable:
        print(f"{report.unreadable} encrypted with a missing key: nobody looked. Add it and erase again.")
    if report.suppressed:
        print("The address stays suppressed, so that it is never mailed; `suppression remove` forgets it.")
