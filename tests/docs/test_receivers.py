"""The receivers of docs/samples/receive, as processes: they take what Postroom signs, and nothing else."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from ipaddress import ip_network
from pathlib import Path
from subprocess import STDOUT, Popen
from typing import Any, Final

import aiohttp
import pytest
from pydantic import SecretStr
from yarl import URL

from postroom.admin.audit import Actor
from postroom.admin.endpoints import show_url_secret
from postroom.base.clock import SystemClock
from postroom.base.db import Pool, transaction
from postroom.base.listener import free_port
from postroom.base.settings import WebhookSettings
from postroom.channels.webhooks import endpoints
from postroom.channels.webhooks.adapter import WebhookAdapter
from postroom.channels.webhooks.model import EndpointSecret
from postroom.channels.webhooks.signing import generate_secret, sign
from postroom.encryption.keyring import NO_KEYS
from postroom.outbox.model import Claim, Delivered, Message, Rejected, RetryLater
from postroom.outbox.publish import publish
from postroom.outbox.store import claim_due
from tests.fixtures.roles import pool_as
from tests.tools import LANGUAGES, require

FOLDER: Final = Path(__file__).resolve().parents[2] / "docs" / "samples" / "receive"
START_S: Final = 60.0  # Go compiles first

COMMANDS: Final = {
    "receive.py": ("python3", "{file}"),
    "receive.mjs": ("node", "{file}"),
    "receive.ru": ("rackup", "--host", "127.0.0.1", "--port", "{port}", "--server", "webrick", "{file}"),
    "receive.go": ("go", "run", "{file}"),
    "receive.php": ("php", "-S", "127.0.0.1:{port}", "{file}"),
}
PUSHED: Final[list[tuple[str, dict[str, Any]]]] = [
    ("crm.sync", {"customer": 42, "email": "ada@example.com"}),
    ("report.build", {"day": "2026-05-01"}),
    ("report.build", {"day": "yesterday"}),
    ("no.such", {}),
]


@contextmanager
def started(name: str, port: int, secret: SecretStr, folder: Path) -> Iterator[Path]:
    """The receiver as a process of its own. Returns: the file of its output."""
    program, *arguments = COMMANDS.get(name, ("node", "{file}"))
    if program in LANGUAGES:
        require(program)
    filled = [each.format(file=FOLDER / name, port=port) for each in arguments]
    output = folder / "output"
    given = {"HOME": str(folder), "TMPDIR": str(folder), "WEBHOOK_SECRET": secret.get_secret_value()}
    with output.open("wb") as log:
        process = Popen(
            [program, *filled], stdout=log, stderr=STDOUT, cwd=folder, start_new_session=True,
            env={"PATH": os.environ["PATH"], "PORT": str(port), **given},
        )  # fmt: skip
        try:
            yield output
        finally:
            os.killpg(process.pid, 9)  # `go run` starts another process
            process.wait()


@asynccontextmanager
async def receiver(name: str, made: EndpointSecret, folder: Path) -> AsyncIterator[Path]:
    port = int(made.endpoint.url.rpartition(":")[2].rstrip("/"))
    with started(name, port, made.secret, folder) as output:
        await listens(port, output)
        yield output


async def listens(port: int, output: Path) -> None:
    """Returns once somebody does."""
    ends_at = time.monotonic() + START_S
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            assert time.monotonic() < ends_at, f"nobody listens: see {output}"
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return


@pytest.fixture
async def adapter(pool: Pool) -> AsyncIterator[WebhookAdapter]:
    settings = WebhookSettings(allow_private=True, timeout_s=10.0)
    adapter = WebhookAdapter(pool=pool_as(pool, "runner"), clock=SystemClock(), settings=settings)
    await adapter.start()
    yield adapter
    await adapter.close()


async def published(pool: Pool) -> Claim:
    data = {"id": "in_1", "amount": 1250, "name": "Zoë"}
    message = Message(channel="webhook", payload={"tenant": "acme", "type": "invoice.paid", "data": data})
    async with transaction(pool) as conn:
        await publish(conn, message)
    async with transaction(pool) as conn:
        [claim] = await claim_due(conn, channel="webhook", worker=1, first_max=10, retry_max=0)
    return claim


def signed(secret: SecretStr, body: bytes, *, age_s: int = 0, message_id: str = "msg_1") -> dict[str, str]:
    timestamp_s = int(time.time()) - age_s
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": sign(message_id=message_id, timestamp_s=timestamp_s, body=body, keys=[secret]),
    }


@pytest.mark.parametrize("name", COMMANDS)
async def test_a_receiver_takes_what_postroom_signs_and_nothing_else(
    name: str, pool: Pool, adapter: WebhookAdapter, tmp_path: Path
) -> None:
    url = f"http://127.0.0.1:{free_port()}/"
    async with transaction(pool) as conn:
        made = await endpoints.create_endpoint(conn, tenant="acme", url=url, allow_private=True)
    claim = await published(pool)
    async with receiver(name, made, tmp_path) as output:
        assert isinstance(await adapter.deliver(claim), Delivered)
        assert isinstance(await adapter.deliver(claim), Delivered), "a repeat is taken, and done once"
        async with transaction(pool) as conn:
            await endpoints.rotate_secret(conn, made.endpoint.id)
        assert isinstance(await adapter.deliver(await published(pool)), Delivered), "two signatures"

        body = b'{"type": "x", "data": {}}'
        good = signed(made.secret, body)
        refused = {
            "no headers": ({}, body),
            "another body": (good, body + b" "),
            "another id": ({**good, "webhook-id": "msg_2"}, body),
            "another secret": (signed(generate_secret(), body), body),
            "too old": (signed(made.secret, body, age_s=301), body),
            "from the future": (signed(made.secret, body, age_s=-310), body),
            "no number": ({**good, "webhook-timestamp": "now"}, body),
            "no signature": ({**good, "webhook-signature": "v1,"}, body),
        }
        async with aiohttp.ClientSession() as client:
            for why, (headers, sent) in refused.items():
                async with client.post(url, data=sent, headers=headers) as answer:
                    assert answer.status == 401, why
            async with client.post(url, data=body, headers=good) as answer:
                assert answer.status in (200, 204)
    received = [line for line in output.read_text().splitlines() if line.startswith("received ")]
    assert [line.split()[1] for line in received] == ["invoice.paid", "invoice.paid", "x"]
    assert "in_1" in received[0]


async def test_tasks_are_pushed_to_an_address_that_the_operator_allows(pool: Pool, tmp_path: Path) -> None:
    """docs/samples/push: by network, signed with the secret of the address; 410 is a dead letter at once."""
    url = f"http://127.0.0.1:{free_port()}"
    async with transaction(pool) as conn:
        secret = await show_url_secret(conn, URL(url), keyring=NO_KEYS, actor=Actor("test"))
        for kind, data in PUSHED:
            message = Message(channel="webhook", payload={"url": f"{url}/", "type": kind, "data": data})
            await publish(conn, message)
    async with transaction(pool) as conn:
        claims = await claim_due(conn, channel="webhook", worker=1, first_max=10, retry_max=0)
    settings = WebhookSettings(allow_networks=(ip_network("127.0.0.0/8"),))
    adapter = WebhookAdapter(pool=pool_as(pool, "runner"), clock=SystemClock(), settings=settings)
    await adapter.start()
    port = int(url.rpartition(":")[2])
    try:
        with started("../push/push.mjs", port, secret, tmp_path) as output:
            await listens(port, output)
            answers = [await adapter.deliver(claim) for claim in [*claims, claims[0]]]
    finally:
        await adapter.close()
    kinds = [Delivered, RetryLater, Rejected, RetryLater, Delivered]
    assert [type(each) for each in answers] == kinds, answers
    assert output.read_text().split("\n") == ["synchronized 42 ada@example.com", ""], (
        "once, though it was pushed twice"
    )


def test_the_page_shows_each_receiver() -> None:
    page = (FOLDER.parents[1] / "tutorial" / "receive-webhooks.md").read_text(encoding="utf-8")
    assert all(f'--8<-- "docs/samples/receive/{name}"' in page for name in COMMANDS)
    assert {path.name for path in FOLDER.iterdir() if path.is_file()} == set(COMMANDS)
