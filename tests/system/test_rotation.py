"""Keys, secrets and tokens change while two APIs and two runners work: no request fails, nothing dies."""

from __future__ import annotations

import asyncio
import itertools
import shlex
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from postroom.base.db import Pool
from postroom.base.listener import free_ports
from postroom.dev.mailbox import Mailbox
from postroom.dev.receiver import Receiver
from postroom.dev.stripe_events import encode, signed, snapshot_event
from tests.fixtures.encryption import NEW, OLD
from tests.processes.commands import Ended, Running, run

NAMES: Final = ("api-1", "api-2", "runner-1", "runner-2")
FIRST, SECOND = (f"whsec_{name * 6}" for name in ("first", "second"))
OLD_METRICS, NEW_METRICS = "metrics-token-of-before-0", "metrics-token-of-today-00"
INVOICE: Final[dict[str, Any]] = {
    "object": "invoice",
    "customer_email": "b@example.com",
    "customer_name": "Ada",
    "amount_paid": 4200,
    "currency": "eur",
    "number": "R-1",
    "lines": {"data": []},
}
EVERY_S: Final = 0.02
LIMIT_S: Final = 60.0
ROUTES: Final = """
[[route]]
on = "invoice.paid"
email = { template = "receipt", to = "{{ object.customer_email }}" }
"""


class Deployment:
    """Four processes, each with files of its own, as machines have them."""

    def __init__(self, folder: Path, dsn: str, receiver: Receiver) -> None:
        self.folder, self.dsn, self.receiver = folder, dsn, receiver
        self.ports = free_ports(2)
        self.running: dict[str, Running] = {}
        (folder / "routes.toml").write_text(ROUTES)

    def settings(self, name: str) -> dict[str, str]:
        place = self.folder / name
        return {
            "POSTROOM_DATABASE_URL": self.dsn,
            "POSTROOM_STATE_DIR": str(self.folder),
            "POSTROOM_EXPORTS__ROLL_S": "1",
            "POSTROOM_PORT": str(self.ports[NAMES.index(name)] if name.startswith("api") else 0),
            "POSTROOM_WEBHOOK__ALLOW_PRIVATE": "true",
            "POSTROOM_ROUTES": str(self.folder / "routes.toml"),
            "POSTROOM_ENCRYPTION__KEYS_FILE": str(place / "keys"),
            "POSTROOM_STRIPE__WEBHOOK_SECRETS_FILE": str(place / "stripe"),
            "POSTROOM_EMAIL__URL_FILE": str(place / "mail"),
            "POSTROOM_METRICS_TOKEN_COMMAND": f"cat {shlex.quote(str(place / 'metrics'))}",
        }

    def write(self, *names: str, **texts: str) -> None:
        for name, (file, text) in itertools.product(names, texts.items()):
            path = self.folder / name / file
            path.parent.mkdir(exist_ok=True)
            fresh = path.with_suffix(".new")
            fresh.write_text(f"{text}\n")
            fresh.replace(path)

    async def change(self, *names: str, **texts: str) -> None:
        """Write files and wait until each of these processes has taken them over."""
        before = {name: self.reloads(name) for name in names}
        self.write(*names, **texts)
        for name in names:
            await until(lambda name=name: self.reloads(name) > before[name])  # type: ignore[misc]

    def reloads(self, name: str) -> int:
        return self.running[name].output.count("settings.reloaded")

    async def start(self, name: str) -> None:
        words = ["serve", "--drain-s", "0"] if name.startswith("api") else ["work"]
        started = Running(words, home=self.folder / name, settings=self.settings(name))
        self.running[name] = started
        ready = "http.listening" if name.startswith("api") else "runner.started"
        await until(lambda: started.says(ready))

    async def stop(self, name: str) -> None:
        process = self.running[name].process
        process.terminate()
        await asyncio.to_thread(process.wait, LIMIT_S)

    def command(self, *words: str) -> Ended:
        return run("postroom", *words, home=self.folder, settings=self.settings("api-1"))


class Load:
    """Publishes and sends Stripe's events without a pause, by turns to both APIs, and keeps what fails."""

    def __init__(self, deployment: Deployment, token: str) -> None:
        self._deployment = deployment
        self.token, self.stripe_secret = token, FIRST
        self.failures: list[str] = []
        self.sent = 0

    async def run(self) -> None:
        async with aiohttp.ClientSession() as client:
            for number in itertools.count():
                base = f"http://127.0.0.1:{self._deployment.ports[number % 2]}"
                await asyncio.gather(self._publish(client, base, number), self._event(client, base, number))
                await asyncio.sleep(EVERY_S)

    async def _publish(self, client: aiohttp.ClientSession, base: str, number: int) -> None:
        hook = {"url": self._deployment.receiver.url(), "type": "t", "data": {}}
        payloads: list[dict[str, Any]] = [
            {"channel": "email", "payload": {"to": "a@example.com", "subject": f"{number}", "text": "t"}},
            {"channel": "webhook", "payload": hook},
            {"channel": "export", "payload": {"dataset": "d", "record": {"n": number}}},
        ]  # fmt: skip
        headers = {"Authorization": f"Bearer {self.token}"}
        await self._post(client, f"{base}/v1/events", 201, json=payloads, headers=headers)

    async def _event(self, client: aiohttp.ClientSession, base: str, number: int) -> None:
        body = encode(snapshot_event("invoice.paid", {**INVOICE, "id": f"in_{number}"}))
        headers = signed(body, self.stripe_secret)
        await self._post(client, f"{base}/v1/stripe/webhook", 200, data=body, headers=headers)

    async def _post(self, client: aiohttp.ClientSession, url: str, wanted: int, **what: Any) -> None:
        self.sent += 1
        try:
            async with client.post(url, **what) as answer:
                if answer.status != wanted:
                    self.failures.append(f"{url}: {answer.status} {await answer.text()}")
        except aiohttp.ClientError as error:
            self.failures.append(f"{url}: {error!r}")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not condition():
            await asyncio.sleep(0.05)


@asynccontextmanager
async def under_load(load: Load) -> AsyncIterator[None]:
    task = asyncio.create_task(load.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture
async def mailboxes() -> AsyncIterator[tuple[Mailbox, Mailbox]]:
    """A mail server, and the one that it moves to: another address, another password."""
    both = (
        Mailbox(login=("post", "old"), kept_max=100_000),
        Mailbox(login=("post", "sesame"), kept_max=100_000),
    )
    for each in both:
        await each.start()
    yield both
    for each in both:
        await each.close()


@pytest.fixture
async def deployment(
    dsn: str, tmp_path: Path, mailboxes: tuple[Mailbox, Mailbox]
) -> AsyncIterator[Deployment]:
    async with Receiver() as receiver:
        made = Deployment(tmp_path, dsn, receiver)
        made.write(
            *NAMES, keys=OLD, stripe=FIRST, metrics=OLD_METRICS,
            mail=f"smtp://post:old@127.0.0.1:{mailboxes[0].port}",
        )  # fmt: skip
        try:
            for name in NAMES:
                await made.start(name)
            yield made
        finally:
            for name in made.running:
                await made.stop(name)


async def status_of(deployment: Deployment, path: str, bearer: str) -> list[int]:
    found = []
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {bearer}"}) as client:
        for port in deployment.ports:
            async with client.get(f"http://127.0.0.1:{port}{path}") as answer:
                found.append(answer.status)
    return found


async def make_token(deployment: Deployment, name: str) -> dict[str, Any]:
    scopes = ("--scope", "events:write", "--scope", "admin:read")
    made = await asyncio.to_thread(deployment.command, "token", "create", "--name", name, *scopes, "--json")
    assert made.code == 0, made.err
    found: dict[str, Any] = made.json
    return found


@pytest.mark.timeout(300)
async def test_everything_is_rotated_under_load_and_nothing_fails_or_dies(
    deployment: Deployment, pool: Pool, mailboxes: tuple[Mailbox, Mailbox]
) -> None:
    first = await make_token(deployment, "first")
    load = Load(deployment, first["secret"])
    async with under_load(load):
        # To read with, everywhere; and the secrets of tomorrow beside those of today.
        await deployment.change(*NAMES, keys=f"{OLD},{NEW}", stripe=f"{FIRST},{SECOND}", metrics=NEW_METRICS)
        # To write with, one process after the other; the mail server moves, and a runner is restarted.
        load.stripe_secret = SECOND
        second = await make_token(deployment, "second")
        load.token = second["secret"]
        for name in NAMES:
            await deployment.change(
                name, keys=f"{NEW},{OLD}", mail=f"smtp://post:sesame@127.0.0.1:{mailboxes[1].port}"
            )
        await deployment.stop("runner-1")
        await deployment.start("runner-1")
        revoked = await asyncio.to_thread(deployment.command, "token", "revoke", first["token"]["id"])
        assert revoked.code == 0, revoked.err
        rotated = await asyncio.to_thread(deployment.command, "encryption", "rotate", "--json")
        assert rotated.code == 0, rotated.err
        # Alone.
        await deployment.change(*NAMES, keys=NEW, stripe=SECOND)
        moved = len(mailboxes[1].mails)
        await until(lambda: len(mailboxes[1].mails) > moved)
    assert load.failures == []
    assert load.sent > 200

    async with asyncio.timeout(LIMIT_S):
        while await pool.fetchval("select count(*) from postroom.delivery"):
            await asyncio.sleep(0.1)
    dead = await pool.fetch("select channel, reason, count(*) from postroom.dead_letter group by 1, 2")
    assert dead == []
    outcomes = await pool.fetch("select distinct outcome from postroom.attempt")
    assert [row["outcome"] for row in outcomes] == ["delivered"]
    assert await pool.fetchval("select count(*) from postroom.tally where label like '%/key_missing'") == 0
    status = await asyncio.to_thread(deployment.command, "encryption", "status", "--json")
    assert {use["key"] for use in status.json} == {"key2"}
    # What was rotated away opens nothing any more.
    assert await status_of(deployment, "/metrics", NEW_METRICS) == [200, 200]
    assert await status_of(deployment, "/metrics", OLD_METRICS) == [401, 401]
    assert await status_of(deployment, "/v1/admin/outbox", second["secret"]) == [200, 200]
    assert await status_of(deployment, "/v1/admin/outbox", first["secret"]) == [401, 401]
    load.stripe_secret, load.failures = FIRST, []
    async with aiohttp.ClientSession() as client:
        await load._event(client, f"http://127.0.0.1:{deployment.ports[0]}", 1_000_000)
    assert [": 400 " in each for each in load.failures] == [True]


async def test_a_faulty_file_changes_nothing_and_is_told(deployment: Deployment) -> None:
    token = (await make_token(deployment, "ci"))["secret"]
    api = deployment.running["api-1"]
    deployment.write("api-1", keys="", stripe=SECOND, metrics=NEW_METRICS)
    await until(lambda: api.says("settings.not_reloaded"))
    deployment.write("api-1", keys=f"{NEW},nonsense")
    await until(lambda: api.output.count("settings.not_reloaded") > 1)
    assert "POSTROOM_ENCRYPTION__KEYS: key 2 is not of the form" in api.output
    assert await status_of(deployment, "/metrics", OLD_METRICS) == [200, 200]
    load = Load(deployment, token)
    async with aiohttp.ClientSession() as client:
        await load._event(client, f"http://127.0.0.1:{deployment.ports[0]}", 1)
    assert load.failures == []
    await deployment.change("api-1", keys=f"{NEW},{OLD}")
    assert await status_of(deployment, "/metrics", NEW_METRICS) == [200, 401]
