"""docs/runbook.md, step by step, against running processes: every probe, metric, path and command."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from postroom.dev.stripe_events import encode, signed, snapshot_event
from postroom.worker.model import JOB_NAMES
from tests.processes.commands import ROOT, environment, run
from tests.processes.local_postgres import wait_until

SECRET = "whsec_" + "r" * 32
METRICS_TOKEN = "a-metrics-token-for-the-runbook"
WITHIN_S = 180.0
SEED_METRICS = (
    "job_last_heartbeat_timestamp",
    "job_last_success_timestamp",
    "outbox_queue_messages",
    "email_adapter_outcomes_total",
    "email_dlq_messages",
    "stripe_webhook_events_total",
    "stripe_webhook_circuit_open_total",
    "circuit_state",
)


class Scene:
    """A service in production settings, and the shell of whoever is on call."""

    def __init__(self, dsn: str, home: Path) -> None:
        self.home = home
        self._children: list[subprocess.Popen[bytes]] = []
        self.settings = {
            "POSTROOM_ENV": "prod",
            "POSTROOM_DATABASE_URL": dsn,
            "POSTROOM_STATE_DIR": str(home),
            "POSTROOM_METRICS_TOKEN": METRICS_TOKEN,
            "POSTROOM_STRIPE__WEBHOOK_SECRETS": SECRET,
            "POSTROOM_STRIPE__LIVEMODE": "false",
            "POSTROOM_PORT": "0",
            "POSTROOM_EMAIL__ATTEMPTS_MAX": "1",
        }
        self.runner: subprocess.Popen[bytes] | None = None
        self.url = self.token = self.mail_port = ""

    def start(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.home / f"{name}.log").open("ab") as log:
            child = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                env=environment(self.home, self.settings),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
            )
        self._children.append(child)
        return child

    def said(self, name: str, pattern: str) -> str:
        """What a process wrote, once it did."""
        found: list[str] = []

        def look() -> bool:
            found[:] = re.findall(pattern, (self.home / f"{name}.log").read_text())
            return bool(found)

        assert wait_until(look, limit_s=WITHIN_S), (self.home / f"{name}.log").read_text()
        return found[0]

    def start_mailbox(self) -> None:
        self.start(
            "mailbox", "postroom.dev.mailbox", "--port", "0", "--user", "postroom", "--password", "right"
        )
        self.mail_port = self.said("mailbox", r"mailbox on [^ ]+:(\d+)")

    def log_in_with(self, password: str) -> None:
        self.settings["POSTROOM_EMAIL__URL"] = f"smtp://postroom:{password}@127.0.0.1:{self.mail_port}"

    def restart_runner(self) -> None:
        if self.runner is not None:
            self.stop(self.runner)
        self.runner = self.start("runner", "postroom", "work")

    def stop(self, child: subprocess.Popen[bytes]) -> None:
        child.send_signal(signal.SIGTERM)
        assert child.wait(40) == 0

    def command(self, module: str, *arguments: str) -> tuple[int, str]:
        ended = run(module, *arguments, home=self.home, settings=self.settings)
        return ended.code, ended.out + ended.err

    def request(
        self, method: str, path: str, *, token: str | None = None, body: Any = None
    ) -> tuple[int, Any]:
        headers = {"Content-Type": "application/json"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        content = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
        return self.send(method, path, headers, content)

    def send(self, method: str, path: str, headers: dict[str, str], content: bytes | None) -> tuple[int, Any]:
        request = urllib.request.Request(self.url + path, content, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=15) as answer:
                text, status = answer.read().decode(), answer.status
        except urllib.error.HTTPError as error:
            text, status = error.read().decode(), error.code
        return status, json.loads(text) if text.startswith(("{", "[")) else text

    def get(self, path: str) -> tuple[int, Any]:
        return self.request("GET", path, token=self.token)

    def metric(self, sample: str) -> float:
        """The value of one sample, e.g. `outbox_queue_messages{status="dead"}`."""
        _, text = self.request("GET", "/metrics", token=METRICS_TOKEN)
        [value] = re.findall(rf"^{re.escape(sample)} (\S+)$", text, re.MULTILINE)
        return float(value)

    def becomes(self, sample: str, value: float) -> bool:
        return wait_until(lambda: self.metric(sample) == value, limit_s=WITHIN_S)

    def end(self) -> None:
        for child in self._children:
            if child.poll() is None:
                child.kill()
                child.wait(20)


@pytest.fixture
def scene(dsn: str, tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(dsn, tmp_path)
    try:
        scene.start_mailbox()
        scene.log_in_with("right")
        scene.start("api", "postroom", "serve")
        scene.url = "http://127.0.0.1:" + scene.said("api", r"port\W+(\d+)")
        scopes = ("admin:read", "outbox:replay", "jobs:run", "events:write")
        code, out = scene.command(
            "postroom", "token", "create", "--name", "on-call", *(f"--scope={scope}" for scope in scopes)
        )
        assert code == 0, out
        scene.token = re.findall(r"\bpr_\w+", out)[0]
        scene.restart_runner()
        assert wait_until(lambda: scene.get("/readyz")[0] == 200, limit_s=WITHIN_S)
        yield scene
    finally:
        scene.end()


def publish_email(scene: Scene, key: str) -> str:
    body = {"channel": "email", "key": key, "payload": {"to": "ada@example.com", "subject": "s", "text": "t"}}
    status, answer = scene.request("POST", "/v1/events", token=scene.token, body=body)
    assert status in (200, 201, 202), answer
    event_id: str = re.findall(r"[0-9a-f]{8}-[0-9a-f-]{27}", json.dumps(answer))[0]
    return event_id


def test_what_the_runbook_says_to_watch_is_there(scene: Scene) -> None:
    assert scene.get("/readyz")[1].keys() >= {"status", "checks"}
    assert set(scene.get("/readyz")[1]["checks"]) == {"database", "migrations", "jobs"}
    assert scene.get("/healthz")[0] == 200
    assert scene.get("/livez")[0] == 200
    assert scene.request("GET", "/metrics")[0] == 401
    _, metrics = scene.request("GET", "/metrics", token=METRICS_TOKEN)
    for name in SEED_METRICS:
        assert re.search(rf"^{name}[ {{]", metrics, re.MULTILINE), name
    for name in JOB_NAMES:
        sample = f'job_last_success_timestamp{{job="{name}"}}'
        assert wait_until(lambda sample=sample: scene.metric(sample) > 0, limit_s=WITHIN_S), sample  # type: ignore[misc]
    assert scene.metric('job_last_heartbeat_timestamp{job="jobs-runner"}') > 0
    status, jobs = scene.get("/v1/admin/jobs/status")
    assert status == 200
    assert set(JOB_NAMES) <= set(re.findall(r'"name": "([a-z-]+)"', json.dumps(jobs)))
    for path in ("/v1/admin/outbox/dead-letter", "/v1/admin/queues/dead-letter", "/v1/admin/circuits"):
        assert scene.get(path)[0] == 200
        assert scene.request("GET", path)[0] == 401


def test_every_job_runs_by_hand_and_an_unknown_one_names_the_known(scene: Scene) -> None:
    for name in JOB_NAMES:
        code, out = scene.command("postroom", "work", "--job", name, "--once")
        assert code == 0, out
    code, out = scene.command("postroom", "work", "--job", "outbox", "--once")
    assert code == 2
    assert all(name in out for name in JOB_NAMES)
    assert scene.request("POST", "/v1/admin/jobs/canary/run", token=scene.token)[0] in (200, 202)
    assert scene.request("POST", "/v1/admin/jobs/outbox/run", token=scene.token)[0] == 404


def test_a_wrong_login_kills_mails_and_the_job_brings_them_back(scene: Scene) -> None:
    scene.log_in_with("wrong")
    scene.restart_runner()
    event_id = publish_email(scene, "login:1")
    assert scene.becomes('email_dlq_messages{status="dead"}', 1)
    assert scene.metric('outbox_queue_messages{status="dead"}') == 1
    assert scene.metric('circuit_state{circuit="email"}') in (0.5, 1)
    _, letters = scene.get("/v1/admin/outbox/dead-letter")
    assert (letters["items"][0]["cause"], letters["items"][0]["code"]) == ("ours", "535")
    assert "email" in scene.command("postroom", "doctor")[1]

    code, out = scene.command("postroom", "work", "--job", "email-dlq", "--once")
    assert code == 1, "without a proof of login nothing is spent"
    assert "login" in out
    assert scene.metric('email_dlq_messages{status="dead"}') == 1

    scene.log_in_with("right")
    scene.restart_runner()
    code, out = scene.command("postroom", "work", "--job", "email-dlq", "--once")
    assert code == 0, out
    assert scene.becomes('email_dlq_messages{status="dead"}', 0)
    assert scene.becomes('email_adapter_outcomes_total{status="sent"}', 1)
    _, story = scene.get(f"/v1/admin/outbox/{event_id}")
    assert [a["outcome"] for a in story["attempts"]][-1] == "delivered"
    assert scene.becomes('circuit_state{circuit="email"}', 0)


def test_a_dead_letter_is_replayed_by_its_id_once(scene: Scene) -> None:
    scene.log_in_with("wrong")
    scene.restart_runner()
    event_id = publish_email(scene, "replay:1")
    assert scene.becomes('outbox_queue_messages{status="dead"}', 1)
    scene.log_in_with("right")
    scene.restart_runner()
    path = f"/v1/admin/outbox/{event_id}/replay"
    replayed = scene.request("POST", path, token=scene.token)[0] in (200, 202)
    # The job email-dlq may have been quicker; either way the letter lives again, once.
    assert replayed or scene.becomes('email_adapter_outcomes_total{status="sent"}', 1)
    assert scene.becomes('email_adapter_outcomes_total{status="sent"}', 1)
    assert scene.request("POST", path, token=scene.token)[0] == 409
    assert scene.becomes('outbox_queue_messages{status="dead"}', 0)


def test_a_wrong_signature_counts_as_an_error_and_a_right_one_is_processed(scene: Scene) -> None:
    event = snapshot_event("customer.created", {"id": "cus_1", "object": "customer"})
    body = encode(event)
    wrong = signed(body, "whsec_" + "x" * 32)
    assert scene.send("POST", "/v1/stripe/webhook", dict(wrong), body)[0] == 400
    assert scene.becomes('stripe_webhook_events_total{outcome="error"}', 1)
    right = signed(body, SECRET)
    assert scene.send("POST", "/v1/stripe/webhook", dict(right), body)[0] == 200
    assert scene.send("POST", "/v1/stripe/webhook", dict(right), body)[0] == 200
    assert scene.becomes('stripe_webhook_events_total{outcome="duplicate"}', 1)
    assert scene.becomes('stripe_webhook_events_total{outcome="ignored"}', 1)


def test_a_runner_that_is_gone_turns_readiness_and_leaves_the_api_in_rotation(scene: Scene, dsn: str) -> None:
    assert scene.runner is not None
    os.kill(scene.runner.pid, signal.SIGKILL)
    with psycopg.connect(dsn) as conn:
        conn.execute(
            "update postroom.job set beat_at = beat_at - interval '6 minutes' where name = 'jobs-runner'"
        )
    assert wait_until(lambda: scene.get("/readyz")[0] == 503, limit_s=WITHIN_S)
    assert scene.get("/readyz?exclude=jobs")[0] == 200
    assert scene.get("/readyz/jobs")[0] == 503
    assert "postroom work" in scene.command("postroom", "doctor")[1]
    scene.runner = None
    scene.restart_runner()
    assert wait_until(lambda: scene.get("/readyz")[0] == 200, limit_s=WITHIN_S)


def test_the_pages_commands_exist(dsn: str, tmp_path: Path) -> None:
    scene = Scene(dsn, tmp_path)  # nothing of it runs: help needs no service
    page = (ROOT / "docs" / "runbook.md").read_text()
    code_blocks = "\n".join(re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL))
    commands = re.findall(r"^(postroom|python -m app\.jobs\.run) ([^\n#$]*)", code_blocks, re.MULTILINE)
    assert len(commands) > 5
    for module, words in commands:
        known = "postroom" if module == "postroom" else "app.jobs.run"
        arguments = [*words.split(), "--help"]
        code, out = scene.command(known, *arguments)
        assert code == 0, f"{module} {words}: {out}"
