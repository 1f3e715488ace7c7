"""`postroom deliver-now`: a message that waits for its time or its next try is due at once."""

from __future__ import annotations

from typing import Annotated

import typer

from postroom.admin import messages
from postroom.base.ids import parse_uuid
from postroom.cli.output import JsonFlag, examples, print_json
from postroom.cli.session import in_transaction


def register(application: typer.Typer) -> None:
    application.command(epilog=examples("postroom deliver-now 0198c5e2-7b1c-7cc3-8f6e-0f4d7a6b9c10"))(
        deliver_now
    )


def deliver_now(
    message_id: Annotated[str, typer.Argument(help="The message, as `publish` and the console show it.")],
    *,
    as_json: JsonFlag = False,
) -> None:
    """Do not wait for the next attempt: what waits of a message is due now.

    What a parked endpoint or an open breaker holds back stays there.
    """
    wanted = parse_uuid(message_id, field="MESSAGE_ID")
    count = in_transaction(lambda s: messages.deliver_now(s.conn, wanted, actor=s.actor))
    if as_json:
        print_json({"id": wanted, "due_now": count})
        return
    print(f"Due now: {count}.")
