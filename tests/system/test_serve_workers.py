"""`postroom serve --workers`: several processes at one port, which are one to whoever calls."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest

from tests.processes.commands import Running, all_gone, processes_of
from tests.processes.local_postgres import wait_until

WITHIN_S = 60.0
CLIENTS = 4
READY = "2 of 2 workers ready"

Serve = Callable[..., Running]


@pytest.fixture
def serve(dsn: str, tmp_path: Path) -> Iterator[Serve]:
    started: list[Running] = []

    def start(*options: str, **more: str) -> Running:
        settings = {
            "POSTROOM_DATABASE_URL": dsn,
            "POSTROOM_STATE_DIR": str(tmp_path / "state"),
            "POSTROOM_PORT": "0",
            "POSTROOM_LOG_JSON": "true",
            **more,
        }
        running = Running(["serve", "--workers", "2", *options], home=tmp_path, settings=settings)
        started.append(running)
        assert wait_until(lambda: running.says(READY), limit_s=WITHIN_S), running.output
        return running

    yield start
    for running in started:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait(WITHIN_S)


def lines(running: Running, event: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in running.output.splitlines() if f'"{event}"' in line]


def url(running: Running, path: str) -> str:
    return f"http://127.0.0.1:{lines(running, 'http.listening')[0]['port']}{path}"


def workers(running: Running, folder: Path) -> set[int]:
    return set(processes_of(folder)) - {running.process.pid}


async def metric(running: Running, name: str) -> float:
    """Asked on a connection of its own, so that any worker may answer."""
    async with aiohttp.ClientSession() as session, session.get(url(running, "/metrics")) as answer:
        [value] = re.findall(rf"^{re.escape(name)} (\S+)$", await answer.text(), re.MULTILINE)
    return float(value)


ANSWERED = 'postroom_http_requests_total{method="POST",route="unmatched",status="404"}'
IN_PROGRESS = "postroom_http_requests_in_progress"
UNFINISHED = (
    b"POST /v1/stripe/webhook HTTP/1.1\r\nHost: a\r\nStripe-Signature: t=1,v1=00\r\n"
    b"Content-Length: 9\r\n\r\n{"
)


async def post(session: aiohttp.ClientSession, running: Running) -> None:
    """No GET: aiohttp sends that again by itself where a connection was closed in its face."""
    async with session.post(url(running, "/v1/nowhere")) as answer:
        assert (answer.status, (await answer.json())["status"]) == (404, 404)


async def test_replaced_under_load_every_request_is_answered(serve: Serve, tmp_path: Path) -> None:
    running = await asyncio.to_thread(serve)
    old, done = workers(running, tmp_path), asyncio.Event()

    async def ask(*, keeps: bool) -> int:
        count = 0
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=not keeps)) as session:
            while not done.is_set():
                await post(session, running)
                count += 1
        return count

    asking = [asyncio.create_task(ask(keeps=number % 2 == 0)) for number in range(CLIENTS)]
    running.process.send_signal(signal.SIGHUP)
    replaced = await asyncio.to_thread(
        wait_until,
        lambda: running.says("1 of 2 replaced") and lines(running, "supervisor.state")[-1]["state"] == READY,
        limit_s=WITHIN_S,
    )
    done.set()
    answered = sum(await asyncio.gather(*asking))
    assert replaced, running.output
    assert old.isdisjoint(workers(running, tmp_path))
    assert [await metric(running, ANSWERED) for _ in range(4)] == [answered] * 4, "theirs, and those before"
    assert await metric(running, IN_PROGRESS) == 1, "this one"


async def test_one_that_is_killed_comes_back_and_what_it_counted_stays(serve: Serve, tmp_path: Path) -> None:
    stripe = {"POSTROOM_STRIPE__WEBHOOK_SECRETS": "whsec_of_a_test", "POSTROOM_STRIPE__LIVEMODE": "true"}
    running = await asyncio.to_thread(serve, **stripe)
    for _ in range(20):
        async with aiohttp.ClientSession() as session:
            await post(session, running)
    port = int(lines(running, "http.listening")[0]["port"])
    unfinished = [await asyncio.open_connection("127.0.0.1", port) for _ in range(8)]
    for _, writer in unfinished:
        writer.write(UNFINISHED)
    async with asyncio.timeout(WITHIN_S):
        while await metric(running, IN_PROGRESS) < len(unfinished) + 1:
            await asyncio.sleep(0.05)
    killed, stays = sorted(workers(running, tmp_path))
    os.kill(killed, signal.SIGKILL)
    await asyncio.to_thread(wait_until, lambda: running.says("supervisor.ended"), limit_s=WITHIN_S)
    left = [reader for reader, _ in unfinished if not reader.at_eof() and reader.exception() is None]
    assert await metric(running, IN_PROGRESS) == len(left) + 1, "those of the dead one are over"
    assert await metric(running, ANSWERED) == 20
    for _, writer in unfinished:
        writer.close()
    ready = lambda: lines(running, "supervisor.state")[-1]["state"] == READY  # noqa: E731
    assert await asyncio.to_thread(wait_until, ready, limit_s=WITHIN_S)
    assert [await metric(running, ANSWERED) for _ in range(4)] == [20] * 4
    assert stays in workers(running, tmp_path)


def test_none_outlives_its_supervisor_and_the_port_is_free(serve: Serve, tmp_path: Path) -> None:
    running = serve()
    port = int(lines(running, "http.listening")[0]["port"])
    running.process.kill()
    running.process.wait(WITHIN_S)
    assert all_gone(tmp_path)
    assert wait_until(lambda: can_listen(port), limit_s=WITHIN_S)  # another test may have it for a moment


def can_listen(port: int) -> bool:
    with socket.socket() as again, suppress(OSError):
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", port))
        again.listen()
        return True
    return False


async def test_at_sigterm_all_are_unready_first_and_it_ends_with_0(serve: Serve) -> None:
    running = await asyncio.to_thread(serve, "--drain-s", "5")
    running.process.send_signal(signal.SIGTERM)
    await asyncio.to_thread(wait_until, lambda: len(lines(running, "http.stopping")) == 2)
    for _ in range(6):
        async with aiohttp.ClientSession() as session, session.get(url(running, "/readyz")) as answer:
            assert answer.status == 503
    assert await asyncio.to_thread(running.process.wait, WITHIN_S) == 0
    assert len(lines(running, "http.stopped")) == 2
