"""What stands around Postroom in development: a mail server, a customer's receiver, Stripe."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from postroom.admin import endpoints as actions
from postroom.admin import tokens
from postroom.admin.audit import Actor
from postroom.admin.tokens import Scope, find_living_token
from postroom.base.db import Pool, transaction
from postroom.channels.webhooks import endpoints
from postroom.dev.mailbox import Mailbox, ReceivedMail
from postroom.dev.receiver import Receiver
from postroom.dev.stripe_api import StripeStandIn
from postroom.encryption.keyring import Keyring

MAILS_KEPT_MAX: Final = 200
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
ACTOR: Final = Actor("cli:up", frozenset(Scope))
TENANT: Final = "demo"
TOKEN_NAME: Final = "postroom up"  # noqa: S105  the name of a token, not a token


class MailFolder:
    """Keeps the newest 200 mails as `.eml` for a mail program or an editor, named by their Message-ID."""

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.path = path

    def keep(self, mail: ReceivedMail) -> None:
        name = _UNSAFE.sub("_", mail.message_id.strip("<>"))[:150]
        (self.path / f"{name}.eml").write_bytes(mail.content)
        oldest_first = sorted(self.path.glob("*.eml"), key=lambda each: each.stat().st_mtime)
        for surplus in oldest_first[:-MAILS_KEPT_MAX]:
            surplus.unlink()


@dataclass(frozen=True, slots=True)
class FakeServices:
    """They run in this process and end with it."""

    mailbox: Mailbox
    mail_folder: Path
    receiver: Receiver
    stripe: StripeStandIn

    @property
    def mail_url(self) -> str:
        return f"smtp://{self.mailbox.host}:{self.mailbox.port}"


@asynccontextmanager
async def open_fake_services(state_dir: Path) -> AsyncIterator[FakeServices]:
    """Each on a free port of 127.0.0.1."""
    folder = MailFolder(state_dir / "mail")
    mailbox, stripe = Mailbox(on_mail=folder.keep), StripeStandIn()
    async with AsyncExitStack() as stack:
        await mailbox.start()
        stack.push_async_callback(mailbox.close)
        await stripe.start()
        stack.push_async_callback(stripe.stop)
        receiver = await stack.enter_async_context(Receiver())
        yield FakeServices(mailbox, folder.path, receiver, stripe)


async def register_receiver(pool: Pool, receiver: Receiver, keyring: Keyring) -> None:
    """Make the receiver the endpoint of the tenant `demo`.

    The one of an earlier run is moved here; its secret cannot be read, so it gets a new one.
    """
    async with transaction(pool) as conn:
        known = await endpoints.list_endpoints(conn, tenant=TENANT, limit=1)
        if known:
            endpoint_id = known[0].id
            await actions.update(conn, endpoint_id, url=receiver.url(), allow_private=True, actor=ACTOR)
            made = await actions.rotate_secret(conn, endpoint_id, keyring=keyring, actor=ACTOR)
            await actions.resume(conn, endpoint_id, actor=ACTOR)
        else:
            made = await actions.create(
                conn,
                tenant=TENANT,
                url=receiver.url(),
                description="the local receiver of postroom up",
                allow_private=True,
                keyring=keyring,
                actor=ACTOR,
            )
    receiver.secrets.append(made.secret.get_secret_value())


async def admin_token(pool: Pool, state_dir: Path, keyring: Keyring) -> Path:
    """A token that may do everything, in a file that only its owner reads; kept from run to run."""
    path = state_dir / "admin-token"
    async with transaction(pool) as conn:
        if path.exists() and await find_living_token(conn, path.read_text().strip(), keyring):
            return path
        secret, _ = await tokens.create(
            conn, name=TOKEN_NAME, scopes=Scope, lifetime=None, keyring=keyring, actor=ACTOR
        )
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(secret + "\n")
    return path
