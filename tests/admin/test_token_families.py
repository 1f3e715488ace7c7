"""A token that is made with a token does, reaches and outlasts no more than that, and ends with it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from postroom.admin.scopes import Scope
from postroom.admin.tokens import insert_token
from postroom.base.db import Pool, transaction
from postroom.base.migrate import migrate
from postroom.base.schema import head
from postroom.base.settings import TOKEN_DAYS, Environment, Settings
from postroom.outbox.reach import EVERYTHING, Reach
from tests.console.http import visitor
from tests.fixtures.api import Answer, Api, running_api

SCOPES = (Scope.ADMIN_READ, Scope.TOKENS_WRITE)
REACH = Path(__file__).parents[2] / "migrations/sql/reach.sql"


@pytest.fixture
async def api(dsn: str, tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(dsn, Settings(state_dir=tmp_path)) as running:
        running.lift_rate_limits()
        yield running


async def parent(api: Api, *, reach: Reach = EVERYTHING, ends_in: timedelta | None = None) -> dict[str, str]:
    expires_at = datetime.now(UTC) + ends_in if ends_in else None
    async with transaction(api.services.pool) as conn:
        secret, token = await insert_token(
            conn, name="parent", scopes=SCOPES, reach=reach, expires_at=expires_at
        )
    return {"id": str(token.id), "secret": secret}


async def make(api: Api, with_: str, **wanted: Any) -> Answer:
    body = {"name": "child", "scopes": ["admin:read", "tokens:write"], **wanted}
    return await api.post("/v1/admin/tokens", json=body, headers=bearer(with_))


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


async def works(api: Api, secret: str) -> bool:
    """Asked of the database, as after the 5 s for which a good answer is remembered."""
    api.app.state.context.verifier._known.clear()
    return (await api.get("/v1/admin/tokens", headers=bearer(secret))).status == 200


async def test_children_end_with_their_parent_and_so_do_their_sessions(api: Api) -> None:
    top = await parent(api)
    child = (await make(api, top["secret"])).json
    grandchild = (await make(api, child["secret"])).json
    assert grandchild["parent_id"] == child["id"]
    async with visitor(api) as guest:
        await guest.sign_in(grandchild["secret"])
        assert (await guest.get("/console/jobs")).status == 200
        assert (await api.call("DELETE", f"/v1/admin/tokens/{top['id']}")).status == 200
        assert (await guest.get("/console/jobs")).status == 303
    assert [await works(api, each["secret"]) for each in (top, child, grandchild)] == [False] * 3
    listed = (await api.get("/v1/admin/tokens")).json["tokens"]
    assert {each["name"]: each["living"] for each in listed} == {
        "parent": False,
        "child": False,
        "test": True,
    }
    told = await api.services.pool.fetchval(
        "select detail ->> 'children' from postroom.audit where action = 'token.revoke'"
    )
    assert told == "2"


@pytest.mark.parametrize(
    "end",
    [
        "update postroom.token set expires_at = now() where id = $1",
        "update postroom.token set revoked_at = now() where id = $1",
        "delete from postroom.token where id = $1",
    ],
)
async def test_however_a_parent_ends_its_children_end(api: Api, pool: Pool, end: str) -> None:
    top = await parent(api)
    child = (await make(api, top["secret"])).json
    assert await works(api, child["secret"])
    await pool.execute(end, top["id"])
    assert not await works(api, child["secret"])
    assert (await make(api, child["secret"])).status == 401
    assert not await pool.fetchval("select count(*) from postroom.living_token where name = 'child'")


async def test_a_parent_that_ended_a_moment_ago_makes_no_child(api: Api) -> None:
    """A process may remember for 5 s that it was good."""
    top = await parent(api)
    assert await works(api, top["secret"])
    await api.services.pool.execute("update postroom.token set revoked_at = now() where id = $1", top["id"])
    assert (await make(api, top["secret"])).status == 401


async def test_a_child_never_outlives_its_parent(api: Api) -> None:
    top = await parent(api, ends_in=timedelta(days=2))
    for wanted in ({}, {"expires_at": "2099-01-01T00:00:00Z"}):
        child = (await make(api, top["secret"], **wanted)).json
        ends_at = datetime.fromisoformat(child["expires_at"])
        assert ends_at - datetime.now(UTC) <= timedelta(days=2)


@pytest.mark.parametrize(
    "wanted",
    [
        {"scopes": ["administrator"]},
        {"scopes": ["payload:read"]},
        {"tenants": ["acme", "globex"]},
        {"channels": ["email", "webhook"]},
        {"tenants": ["acme"], "channels": ["email", "webhook"]},
    ],
)
async def test_a_child_never_does_or_reaches_more(api: Api, wanted: dict[str, Any]) -> None:
    top = await parent(api, reach=Reach.of(["acme"], ["email"]))
    refused = await make(api, top["secret"], **wanted)
    assert (refused.status, refused.json["field"]) == (403, list(wanted)[-1])
    child = (await make(api, top["secret"])).json
    assert (child["tenants"], child["channels"]) == (["acme"], ["email"])


async def test_a_limited_token_sees_and_ends_its_own_family_alone(api: Api) -> None:
    top, stranger = await parent(api, reach=Reach.of(["acme"], None)), await parent(api)
    child = (await make(api, top["secret"])).json
    listed = (await api.get("/v1/admin/tokens", headers=bearer(top["secret"]))).json["tokens"]
    assert {each["id"] for each in listed} == {top["id"], child["id"]}
    for token_id, status in ((stranger["id"], 404), (child["id"], 200)):
        answer = await api.call("DELETE", f"/v1/admin/tokens/{token_id}", headers=bearer(top["secret"]))
        assert answer.status == status


async def test_the_trail_names_the_token_where_names_are_alike(api: Api) -> None:
    one, other = await parent(api), await parent(api)
    await make(api, one["secret"])
    await make(api, other["secret"])
    trail = (await api.get("/v1/admin/audit?action=token.create")).json["items"]
    assert [(each["actor"], each["token_id"]) for each in trail] == [
        ("token:parent", other["id"]),
        ("token:parent", one["id"]),
    ]
    async with visitor(api) as guest:
        await guest.sign_in(one["secret"])
        assert one["id"] in (await guest.get("/console/audit")).text
        await guest.post("/console/tokens/create", [("name", "n"), ("scope", "viewer")])
    [last] = (await api.get("/v1/admin/audit?action=token.create&limit=1")).json["items"]
    assert last["token_id"] == one["id"]


async def test_in_prod_a_token_ends_after_90_days_unless_it_says_itself(dsn: str, tmp_path: Path) -> None:
    prod = Settings(
        env=Environment.PROD,
        database_url=SecretStr(dsn),
        metrics_token=SecretStr("m" * 32),
        state_dir=tmp_path,
    )
    async with running_api(dsn, prod) as api:
        made = (await make(api, api.token)).json
        left = datetime.fromisoformat(made["expires_at"]) - datetime.now(UTC)
        assert timedelta(days=TOKEN_DAYS - 1) < left <= timedelta(days=TOKEN_DAYS)
    assert prod.model_copy(update={"token_days": 7}).token_lifetime == timedelta(days=7)
    assert Settings(state_dir=tmp_path).token_lifetime is None


async def test_an_upgrade_keeps_payloads_visible_for_those_who_saw_them(dsn: str, pool: Pool) -> None:
    async with transaction(pool) as conn:
        for scope in (Scope.ADMIN_READ, Scope.EVENTS_WRITE):
            await insert_token(conn, name=scope, scopes=(scope,))
    await pool.execute("update postroom.alembic_version set version_num = '0010'")
    for _ in range(2):
        await migrate(dsn)
        rows = await pool.fetch("select name, scopes from postroom.token")
        assert {row["name"]: row["scopes"] for row in rows} == {
            "admin:read": ["admin:read", "payload:read"],
            "events:write": ["events:write"],
        }
    assert await pool.fetchval("select version_num from postroom.alembic_version") == head()


async def test_what_may_be_run_again_shows_payloads_to_nobody_else(pool: Pool) -> None:
    """A later migration runs the file for the functions in it; viewers were made since."""
    async with transaction(pool) as conn:
        await insert_token(conn, name="viewer", scopes=(Scope.ADMIN_READ,))
    await pool.execute(REACH.read_text())
    assert await pool.fetchval("select scopes from postroom.token") == ["admin:read"]


async def test_nobody_gives_away_more_than_they_hold(dsn: str, tmp_path: Path) -> None:
    """403 by both faces that ask who one is; who may start the command holds everything."""
    async with (
        running_api(dsn, Settings(state_dir=tmp_path), Scope.ADMIN_READ, Scope.TOKENS_WRITE) as api,
        visitor(api) as guest,
    ):
        await guest.sign_in(api.token)
        wanted = {"name": "n", "scopes": ["outbox:replay"]}
        by_api = await api.post("/v1/admin/tokens", json=wanted)
        by_console = await guest.post("/console/tokens/create", [("name", "n"), ("scope", "outbox:replay")])
        assert (by_api.status, by_console.status) == (403, 403)
        assert await api.pool.fetchval("select count(*) from postroom.token where name = 'n'") == 0
