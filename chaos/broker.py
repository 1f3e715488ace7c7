"""A broker as a way out under faults: a cluster whose leader dies, disk is full, and answers are lost.

A runner of its own delivers meanwhile, and is killed, too. What a consumer reads at the end has to be what
the ledger says, in the order of each key.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from chaos.broker_targets import Target, open_target
from chaos.link import Link
from chaos.process import ManagedProcess
from postroom.base.db import Pool, open_pool, transaction
from postroom.base.json import encode
from postroom.channels.webhooks import endpoints

TENANT: Final = "acme"
KEYS: Final = 5
PER_S: Final = 40
FAULT_S: Final = 3.0
SOME: Final = 2
FELT_WITHIN_S: Final = 120.0
QUIET_WITHIN_S: Final = 180.0
POLL_S: Final = 0.2
LEFT: Final = "select count(*) from postroom.delivery"
UNANSWERED: Final = """
select message_id::text as id, count(*) from postroom.attempt
where outcome in ('unknown', 'abandoned') group by 1
"""
"""Attempts of which nobody knows what became: the broker may have stored it. Abandoned: of killed runners."""
OUTCOMES: Final = """
select outcome || coalesce('/' || code, '') as name, count(*) as count from postroom.attempt group by 1
"""


@dataclass(frozen=True, slots=True)
class BrokerReport:
    """What the consumer has beside what was published. `outcomes`: of attempts, with their codes.

    `stored`: by their ids, which a duplicate shares. `duplicates_unexplained`: more than a message has
    attempts without an answer, or any on a broker that stores each id once. `out_of_order`: keys of which
    the messages, each where it is first, have another order than in the ledger.
    """

    published: int
    stored: int
    lost: int
    phantoms: int
    duplicates: int
    duplicates_unexplained: int
    out_of_order: int
    dead: int
    outcomes: dict[str, int]

    @property
    def passed(self) -> bool:
        wrong = self.lost + self.phantoms + self.duplicates_unexplained + self.out_of_order + self.dead
        return not wrong and self.published == self.stored > 0


async def run_broker(kind: str, dsn: str, folder: Path) -> BrokerReport:
    """On a migrated database of its own. Errors: `TimeoutError` where it does not get quiet."""
    pool = await open_pool(dsn, connections_max=4)
    try:
        with open_target(kind, folder / kind) as target:
            await target.prepare()
            async with _links(target) as links:
                runner = await _prepare(pool, dsn, folder, target, links)
                try:
                    publishing = asyncio.create_task(_publish(pool))
                    await _inflict(pool, target, links, runner)
                    publishing.cancel()
                    await asyncio.gather(publishing, return_exceptions=True)
                    await _wait_for_quiet(pool)
                finally:
                    await runner.stop()
            return await _compare(pool, target)
    finally:
        await pool.close()


@asynccontextmanager
async def _links(target: Target) -> AsyncIterator[list[Link]]:
    links = [Link() for _ in target.ports]
    for link, port in zip(links, target.ports, strict=True):
        link.target_port = port
        await link.open()
    try:
        yield links
    finally:
        for link in links:
            await link.shut()


async def _prepare(pool: Pool, dsn: str, folder: Path, target: Target, links: list[Link]) -> ManagedProcess:
    """The endpoint, and a runner that may name the cluster."""
    nodes = [f"127.0.0.1:{link.port}" for link in links]
    allowed = {f"{target.scheme}://{node}": [TENANT] for node in nodes}
    async with transaction(pool) as conn:
        await endpoints.create_endpoint(
            conn, tenant=TENANT, url=f"{target.scheme}://{','.join(nodes)}{target.place}",
            secret=SecretStr(target.login), allow_private=True, brokers=allowed,
        )  # fmt: skip
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "HOME": str(folder),
        "POSTROOM_STATE_DIR": str(folder / "state"),
        "POSTROOM_DATABASE_URL": dsn,
        "POSTROOM_WEBHOOK__ALLOW_PRIVATE": "true",
        "POSTROOM_WEBHOOK__BROKERS": encode(allowed),
        "POSTROOM_WEBHOOK__TIMEOUT_S": "2",
        "POSTROOM_WEBHOOK__STEPS_S": ",".join(["0.5"] * 49),
    }
    runner = ManagedProcess("runner", ("postroom", "work"), environment, folder / "runner.log")
    await runner.start()
    return runner


async def _publish(pool: Pool) -> None:
    number = 0
    while True:
        payload = encode({"tenant": TENANT, "type": "order.paid", "data": {"number": number}})
        await pool.execute(
            "select postroom.publish('webhook', $1, ordering_key => $2)", payload, f"key-{number % KEYS}"
        )
        number += 1
        await asyncio.sleep(1 / PER_S)


async def _inflict(pool: Pool, target: Target, links: list[Link], runner: ManagedProcess) -> None:
    """Every fault once, while deliveries are made, until it was felt; each is mended before the next."""
    await _until_more(pool, target.done)
    leader = await target.kill_leader()
    await asyncio.sleep(FAULT_S)
    await target.restart(leader)
    await _until_more(pool, target.done)
    for link in links:
        link.deaf = True
    await _until_more(pool, "unknown/timeout")
    for link in links:
        link.deaf = False
    await _until_more(pool, target.done)
    await target.fill()
    await _until_more(pool, target.full)
    await target.empty()
    await _until_more(pool, target.done)
    await runner.kill()
    await runner.start()
    await _until_more(pool, target.done)


async def _until_more(pool: Pool, outcome: str) -> None:
    """Until some attempts more have ended so than have by now."""
    async with asyncio.timeout(FELT_WITHIN_S):
        wanted = (await _outcomes(pool)).get(outcome, 0) + SOME
        while (await _outcomes(pool)).get(outcome, 0) < wanted:
            await asyncio.sleep(POLL_S)


async def _outcomes(pool: Pool) -> dict[str, int]:
    return {row["name"]: row["count"] for row in await pool.fetch(OUTCOMES)}


async def _wait_for_quiet(pool: Pool) -> None:
    async with asyncio.timeout(QUIET_WITHIN_S):
        while await pool.fetchval(LEFT):
            await asyncio.sleep(POLL_S)


async def _compare(pool: Pool, target: Target) -> BrokerReport:
    rows = await pool.fetch("select id::text, ordering_key from postroom.message order by id")
    ids = {row["id"] for row in rows}
    read = await target.read()
    copies = Counter(each.id for each in read)
    unanswered = {row["id"]: row["count"] for row in await pool.fetch(UNANSWERED)} if target.repeats else {}
    wrong = 0
    for key in {row["ordering_key"] for row in rows}:
        theirs = dict.fromkeys(each.id for each in read if each.key == key)
        ours = [row["id"] for row in rows if row["ordering_key"] == key]
        wrong += list(theirs) != ours
    return BrokerReport(
        published=len(rows),
        stored=len(copies),
        lost=len(ids - copies.keys()),
        phantoms=len(copies.keys() - ids),
        duplicates=copies.total() - len(copies),
        duplicates_unexplained=sum(
            max(0, count - 1 - unanswered.get(id_, 0)) for id_, count in copies.items()
        ),
        out_of_order=wrong,
        dead=await pool.fetchval("select count(*) from postroom.dead_letter"),
        outcomes=await _outcomes(pool),
    )
