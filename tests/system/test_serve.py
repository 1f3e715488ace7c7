"""`postroom serve` as a process: it migrates in dev, says what is missing in prod, and leaves in order."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from postroom.base.db import Pool
from postroom.base.migrate import migrate
from postroom.dev.stripe_events import encode, signed, snapshot_event
from tests.fixtures.roles import by_hand
from tests.processes.commands import Running, run
from tests.processes.local_postgres import wait_until

LISTENING_S = 40.0
STOPPED_S = 20.0
PROD = {
    "POSTROOM_ENV": "prod",
    "POSTROOM_METRICS_TOKEN": "a-metrics-token-of-prod",
    "POSTROOM_LOG_JSON": "true",
}

Serve = Callable[..., Running]


@pytest.fixture
def serve(dsn: str, tmp_path: Path) -> Iterator[Serve]:
    started: list[Running] = []

    def start(*arguments: str, **settings: str) -> Running:
        base = {"POSTROOM_DATABASE_URL": dsn, "POSTROOM_STATE_DIR": str(tmp_path), "POSTROOM_PORT": "0"}
        running = Running(["serve", *arguments], home=tmp_path, settings={**base, **settings})
        started.append(running)
        assert wait_until(lambda: running.says("http.listening"), limit_s=LISTENING_S), running.output
        return running

    yield start
    for running in started:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait(STOPPED_S)


def get(running: Running, path: str) -> tuple[int, Any]:
    """Status and JSON of an answer; 0 when nobody answers."""
    [line] = [line for line in running.output.splitlines() if "http.listening" in line]
    port = re.search(r"port\W+(\d+)", re.sub(r"\x1b\[[0-9;]*m", "", line))
    assert port is not None, running.output
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port[1]}{path}", timeout=5) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)
    except (urllib.error.URLError, ConnectionError):
        return 0, None


def test_on_sigterm_it_is_unready_first_and_then_ends_with_0(serve: Serve) -> None:
    running = serve("--drain-s", "1.5")
    assert wait_until(lambda: get(running, "/readyz?exclude=jobs")[0] == 200, limit_s=LISTENING_S)
    running.process.send_signal(signal.SIGTERM)

    assert wait_until(lambda: get(running, "/readyz?exclude=jobs")[0] == 503, limit_s=1.4)
    assert get(running, "/livez")[0] == 200, "while it drains, it still answers"
    assert running.process.wait(STOPPED_S) == 0
    assert "http.stopped" in running.output


def test_a_second_signal_cuts_the_waiting_short(serve: Serve) -> None:
    running = serve("--drain-s", "300")
    assert wait_until(lambda: get(running, "/livez")[0] == 200)
    running.process.send_signal(signal.SIGTERM)
    assert wait_until(lambda: "http.stopping" in running.output)
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(STOPPED_S) == 0


async def test_in_dev_it_brings_the_schema_along(serve: Serve, dsn: str, pool: Pool) -> None:
    async with pool.acquire() as conn:
        await conn.execute("drop schema postroom cascade")
    running = await asyncio.to_thread(serve, POSTROOM_DATABASE_URL=by_hand(dsn))
    status, answer = await asyncio.to_thread(get, running, "/readyz/migrations")
    assert (status, answer["checks"]["migrations"]["status"]) == (200, "ok")


@pytest.mark.rows_by_hand
async def test_in_prod_a_missing_schema_keeps_it_unready_until_somebody_migrates(
    serve: Serve, pool: Pool, dsn: str
) -> None:
    async with pool.acquire() as conn:
        await conn.execute("drop schema postroom cascade")
    running = await asyncio.to_thread(serve, **PROD, POSTROOM_DATABASE_URL=by_hand(dsn))
    assert (await asyncio.to_thread(get, running, "/readyz/migrations"))[0] == 503
    assert (await asyncio.to_thread(get, running, "/livez"))[0] == 200
    assert "postroom migrate" in running.output

    await migrate(dsn)
    ready = await asyncio.to_thread(
        wait_until, lambda: get(running, "/readyz/migrations")[0] == 200, limit_s=LISTENING_S
    )
    assert ready


def test_a_taken_port_is_told(dsn: str, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings = {
            "POSTROOM_DATABASE_URL": dsn,
            "POSTROOM_STATE_DIR": str(tmp_path),
            "POSTROOM_PORT": str(taken.getsockname()[1]),
        }
        done = run("postroom", "serve", home=tmp_path, settings=settings)
    assert done.code == 1
    assert "is taken by another program" in done.err


def test_a_routes_file_with_a_typo_is_refused_at_start(dsn: str, tmp_path: Path) -> None:
    routes = tmp_path / "routes.toml"
    routes.write_text('[[route]]\non = "invoice.payd"\nexport = { dataset = "invoices" }\n')
    settings = {
        "POSTROOM_DATABASE_URL": dsn,
        "POSTROOM_STATE_DIR": str(tmp_path),
        "POSTROOM_PORT": "0",
        "POSTROOM_ROUTES": str(routes),
    }
    done = run("postroom", "serve", home=tmp_path, settings=settings)
    assert done.code == 2
    assert f"{routes}:2" in done.err
    assert "invoice.paid" in done.err


def address(running: Running) -> tuple[str, int]:
    [line] = [line for line in running.output.splitlines() if "http.listening" in line]
    return "127.0.0.1", int(json.loads(line)["port"])


def test_an_event_is_named_on_the_one_line_of_its_request(serve: Serve) -> None:
    secret = "whsec_of_the_line"
    running = serve(
        POSTROOM_LOG_JSON="true", POSTROOM_STRIPE__WEBHOOK_SECRETS=secret, POSTROOM_STRIPE__LIVEMODE="true"
    )
    body = encode(snapshot_event("invoice.paid", {"id": "in_1", "object": "invoice"}, event_id="evt_line"))
    url = "http://{}:{}/v1/stripe/webhook".format(*address(running))
    asked = urllib.request.Request(url, body, {**signed(body, secret), "X-Request-Id": "of-the-line"})
    with urllib.request.urlopen(asked, timeout=10) as answer:
        told = json.load(answer)
    assert wait_until(lambda: running.says("of-the-line"), limit_s=10)
    [line] = [json.loads(line) for line in running.output.splitlines() if "evt_line" in line]
    assert (line["event"], line["request_id"], line["status"]) == ("http.request", "of-the-line", 200)
    assert (line["event_type"], line["message_id"], line["duplicate"]) == ("invoice.paid", told["id"], False)


def test_answers_come_whole_and_in_order_however_they_are_asked_for(serve: Serve) -> None:
    running = serve(POSTROOM_LOG_JSON="true")
    paths = ["/livez", "/v1/nowhere", "/openapi.json", "/healthz"]
    asked = [f"GET {path} HTTP/1.1\r\nHost: a\r\n" for path in paths]
    with socket.create_connection(address(running), timeout=10) as client:
        client.sendall(("\r\n".join(asked) + "Connection: close\r\n\r\n").encode())  # all at once
        with client.makefile("rb") as said:
            answers = [read_answer(said) for _ in paths]
            assert said.read() == b""
    assert [status for status, _ in answers] == [200, 404, 200, 200]
    assert [answers[0][1]["status"], answers[1][1]["status"]] == ["ok", 404]
    assert "openapi" in answers[2][1]
    assert "version" in answers[3][1]


def read_answer(said: BinaryIO) -> tuple[int, Any]:
    status = int(said.readline().split()[1])
    headers = dict(line.rstrip().lower().split(b": ", 1) for line in iter(said.readline, b"\r\n"))
    return status, json.loads(said.read(int(headers[b"content-length"])))


def test_who_comes_by_tls_is_told_to_stay_with_it(serve: Serve) -> None:
    """TLS ends at the proxy, so its word counts, and nobody else's."""
    for proxies, expected in (("127.0.0.1", "max-age=31536000"), ("192.0.2.1", None)):
        running = serve(POSTROOM_TRUSTED_PROXIES=proxies)
        [port] = re.findall(r"port\W+(\d+)", re.sub(r"\x1b\[[0-9;]*m", "", running.output))
        url = f"http://127.0.0.1:{port}/console/sign-in"
        told = []
        for headers in ({"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.9"}, {}):
            with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=5) as answer:
                told.append(answer.headers["Strict-Transport-Security"])
        assert told == [expected, None]
