"""Rows about what comes in: publishing beside a plain insert, and Stripe's webhooks beside a bare route."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import shutil
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Final
from urllib.parse import urlsplit

from bench.report import Report
from bench.service import SECRET, Api, open_api
from bench.stage import Stage, execute, run

CLIENTS: Final = 32
EVENTS_A_SECOND_MAX: Final = 12_000
PAYLOAD: Final = json.dumps(
    {"to": "ada@example.com", "template": "welcome", "data": {"object": {"name": "Ada"}}}
)

PLAIN_TABLE: Final = """
create table plain (id uuid primary key, channel text not null, key text not null, payload jsonb not null,
    created_at timestamptz not null default now());
create unique index plain_key on plain (channel, key)"""
PLAIN_INSERT: Final = f"""\\set n random(1, 9000000000000000)
insert into plain (id, channel, key, payload)
values (postroom.uuid7(), 'email', 'k' || :n || ':' || :client_id, '{PAYLOAD}'::jsonb);
"""
PUBLISH: Final = f"""\\set n random(1, 9000000000000000)
select postroom.publish('email', '{PAYLOAD}'::jsonb, key => 'k' || :n || ':' || :client_id);
"""
SLEEPER: Final = "insert into postroom.sleeper (channel, worker) values ('webhook', 1)"


async def measure_publish_over_insert(stage: Stage, report: Report, *, rounds: int, seconds: int) -> None:
    """`publish_over_insert`: one message a transaction from 32 connections, wake-up on, pgbench both."""
    if stage.pgbench is None:
        report.skip("publish_over_insert", "pgbench is missing (Debian: apt-get install postgresql-contrib)")
        return
    dsn = await stage.database()
    await execute(dsn, PLAIN_TABLE)
    await execute(dsn, SLEEPER)
    ratios = []
    for _ in range(rounds):
        plain = _pgbench(stage, dsn, PLAIN_INSERT, seconds)
        ratios.append(_pgbench(stage, dsn, PUBLISH, seconds) / plain)
    report.put("publish_over_insert", median(ratios), spread=ratios)
    await stage.drop(dsn)


def _pgbench(stage: Stage, dsn: str, script: str, seconds: int) -> float:
    """Transactions a second."""
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script)
        file.flush()
        said = run(
            [str(stage.pgbench), "-n", "-M", "prepared", "-c", str(CLIENTS), "-j", "2", "-T", str(seconds),
             "-f", file.name, urlsplit(dsn).path.lstrip("/")],
            env=stage.environment(),
        )  # fmt: skip
    found = re.search(r"tps = ([\d.]+)", said)
    if found is None:
        raise RuntimeError(f"pgbench said no rate: {said[-300:]}")
    return float(found[1])


async def measure_ingest(stage: Stage, report: Report, *, rounds: int, seconds: int) -> None:
    """`ingest_over_http`: signed webhooks of 1.6 kB, 200 after the commit, over /livez of the same server."""
    if shutil.which("wrk") is None:
        report.skip("ingest_over_http", "wrk is missing (Debian: apt-get install wrk)")
        return
    dsn = await stage.database()
    ratios = []
    with tempfile.TemporaryDirectory(prefix="postroom-bench-") as folder:
        async with open_api(dsn) as api:
            for round_ in range(rounds):
                bare = _wrk(api, "/livez", None, seconds)
                script = _write_requests(Path(folder), round_, seconds)
                ratios.append(_wrk(api, "/v1/stripe/webhook", script, seconds) / bare)
    report.put("ingest_over_http", median(ratios), spread=ratios)
    await stage.drop(dsn)


def _write_requests(folder: Path, round_: int, seconds: int) -> Path:
    """Signed events of their own for each request, two files of them: wrk runs two threads."""
    signed_at = int(time.time())
    for thread in (1, 2):
        with (folder / f"events{thread}").open("w") as file:
            for number in range(EVENTS_A_SECOND_MAX * seconds // 2):
                body = json.dumps(_event(f"evt_{round_}_{thread}_{number}"), separators=(",", ":"))
                digest = hmac.new(SECRET.encode(), f"{signed_at}.{body}".encode(), hashlib.sha256).hexdigest()
                file.write(f"t={signed_at},v1={digest}\t{body}\n")
    script = folder / "requests.lua"
    script.write_text(LUA.replace("FOLDER", str(folder)))
    return script


LUA: Final = """
local threads = 0
function setup(thread) threads = threads + 1; thread:set("number", threads) end
function init()
  requests, position = {}, 0
  for line in io.lines("FOLDER/events" .. number) do
    local signature, body = line:match("^([^\\t]+)\\t(.*)$")
    local headers = { ["Content-Type"] = "application/json", ["Stripe-Signature"] = signature }
    requests[#requests + 1] = wrk.format("POST", nil, headers, body)
  end
end
function request()
  position = position + 1
  if position == #requests + 1 then print("sent") io.stdout:flush() end
  if position > #requests then wrk.thread:stop() return requests[1] end
  return requests[position]
end
function done(summary)
  print("errors " .. summary.errors.status + summary.errors.read + summary.errors.timeout)
end
"""


def _event(event_id: str) -> dict[str, object]:
    """An event of 1.6 kB, each about an object of its own."""
    return {
        "id": event_id, "object": "event", "type": "invoice.created", "created": 1_700_000_000,
        "livemode": False, "api_version": "2025-01-27", "account": None,
        "data": {"object": {"id": f"in_{event_id}", "object": "invoice", "amount_paid": 4_200,
                            "currency": "eur", "description": "x" * 1_250}},
    }  # fmt: skip


def _wrk(api: Api, path: str, script: Path | None, seconds: int) -> float:
    """Requests a second. Errors: `RuntimeError` when answers were refused or lost."""
    arguments = ["wrk", "-t", "2", "-c", str(CLIENTS), "-d", f"{seconds}s"]
    arguments += ["-s", str(script)] if script else []
    said = run([*arguments, api.url + path])
    if "Non-2xx" in said:
        raise RuntimeError(f"{path} refused requests: {said[-400:]}")
    found = re.search(r"Requests/sec:\s+([\d.]+)", said)
    if found is None:
        raise RuntimeError(f"wrk said no rate: {said[-300:]}")
    return float(found[1])
