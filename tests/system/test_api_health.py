"""Probes and metrics of the real server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from postroom.admin.tokens import Scope
from postroom.base.settings import Environment, Settings
from tests.conftest import run_sql
from tests.fixtures.api import Api, running_api

METRICS_TOKEN = "scrape-me-with-this"


@pytest.fixture
async def api(dsn: str, tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(dsn, Settings(state_dir=tmp_path)) as running:
        yield running


@pytest.fixture
async def prod(dsn: str, tmp_path: Path) -> AsyncIterator[Api]:
    settings = Settings(
        env=Environment.PROD,
        state_dir=tmp_path,
        database_url=SecretStr(dsn),
        metrics_token=SecretStr(METRICS_TOKEN),
    )
    async with running_api(dsn, settings) as running:
        yield running


async def test_probes_answer_as_the_runbook_says(api: Api) -> None:
    assert (await api.get("/livez")).json == {"status": "ok"}
    health = (await api.get("/healthz")).json
    assert health["version"]
    assert health["uptime_s"] >= 0
    ready = await api.get("/readyz")
    assert ready.status == 503
    assert ready.json["checks"]["jobs"]["status"] == "failed"
    assert ready.json["checks"]["database"]["status"] == "ok"
    assert (await api.get("/readyz?exclude=jobs")).status == 200
    assert (await api.get("/readyz/jobs")).status == 503
    assert (await api.call("HEAD", "/livez")).status == 200


async def test_the_front_door_leads_a_browser_to_the_console_and_tells_a_program_where_it_is(
    api: Api,
) -> None:
    browser = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    led = await api.get("/", headers=browser, allow_redirects=False)
    assert (led.status, led.headers["Location"]) == (307, "/console")
    assert (await api.get("/", headers=browser)).status == 200
    told = await api.get("/", headers={"Accept": "*/*"})
    assert (told.status, told.json["console"]) == (200, "/console")


async def test_a_beating_runner_makes_it_ready(dsn: str, api: Api) -> None:
    await run_sql(dsn, "insert into postroom.job (name, beat_at) values ('jobs-runner', now())")
    assert (await api.get("/readyz")).status == 200


async def test_shutting_down_answers_503_first(api: Api) -> None:
    assert (await api.get("/readyz?exclude=jobs")).status == 200
    api.app.state.context.readiness.stop()
    assert (await api.get("/readyz?exclude=jobs")).status == 503
    assert (await api.get("/livez")).status == 200


async def test_detail_is_for_operators_in_prod(prod: Api) -> None:
    anonymous = (await prod.get("/readyz", headers={})).json
    assert all("detail" not in check for check in anonymous["checks"].values())
    assert "detail" in (await prod.get("/readyz")).json["checks"]["jobs"]


async def test_metrics_are_gated_in_prod(prod: Api) -> None:
    assert (await prod.get("/metrics", headers={})).status == 401
    assert (await prod.get("/metrics", headers={"Authorization": "Bearer wrong"})).status == 401
    answer = await prod.get("/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"})
    assert answer.status == 200
    assert 'outbox_queue_messages{status="dead"} 0.0' in answer.text
    assert 'job_last_heartbeat_timestamp{job="jobs-runner"} 0.0' in answer.text
    reader = await prod.make_token(Scope.METRICS_READ, name="prometheus")
    assert (await prod.get("/metrics", headers={"Authorization": f"Bearer {reader}"})).status == 200


async def test_requests_are_counted_by_route_and_not_by_path(api: Api) -> None:
    await api.get("/v1/admin/outbox/00000000-0000-0000-0000-000000000001")
    await api.get("/some/path/of/a/scanner")
    text = (await api.get("/metrics")).text
    assert (
        'postroom_http_requests_total{method="GET",route="/v1/admin/outbox/{event_id}",status="404"} 1.0'
        in text
    )
    assert 'route="unmatched",status="404"} 1.0' in text
    assert "scanner" not in text


async def test_without_a_database_it_lives_is_not_ready_and_shows_metrics(
    tmp_path: Path, dsn: str, server_dsn: str
) -> None:
    async with running_api(dsn, Settings(state_dir=tmp_path)) as api:
        name = dsn.rsplit("/", 1)[1]
        await run_sql(
            server_dsn,
            f"select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = '{name}'",
        )
        await run_sql(server_dsn, f'alter database "{name}" rename to "{name}_away"')
        try:
            assert (await api.get("/livez")).status == 200
            assert (await api.get("/readyz?exclude=jobs")).status == 503
            metrics = await api.get("/metrics")
            assert metrics.status == 200
            assert "postroom_database_up 0.0" in metrics.text
            assert "outbox_queue_messages" not in metrics.text
            refused = await api.post("/v1/events", json={"channel": "email", "payload": {}})
            assert refused.status == 503
            assert refused.headers["Retry-After"] == "5"
        finally:
            await run_sql(server_dsn, f'alter database "{name}_away" rename to "{name}"')
        assert (await api.get("/v1/admin/jobs/status")).status == 200
