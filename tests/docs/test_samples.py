"""The routes, templates and handlers of docs/samples do what their pages say."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest

from postroom.base.db import Pool
from postroom.channels.email.template import TemplateFolders, Templates
from postroom.dev.stripe_events import snapshot_event
from tests.fixtures.stripe import Scene
from tests.processes.commands import run

SAMPLES: Final = Path(__file__).resolve().parents[2] / "docs" / "samples"
FIRST: Final = SAMPLES / "first"
EVENT: Final[dict[str, Any]] = json.loads((FIRST / "invoice.paid.json").read_text(encoding="utf-8"))


def routes(home: Path, *arguments: str, **settings: str) -> Any:
    """What a `postroom routes …` command prints as JSON."""
    ended = run("postroom", "routes", *arguments, "--json", home=home, settings=settings)
    assert ended.code == 0, ended.err
    return ended.json


def test_the_first_routes_and_handlers_say_what_the_event_causes(tmp_path: Path) -> None:
    files = ("--file", str(FIRST / "routes.toml"), "--handlers", str(FIRST / "handlers.py"))
    templates = str(FIRST / "templates")
    told = routes(
        tmp_path, "test", "--event", str(FIRST / "invoice.paid.json"), *files,
        POSTROOM_EMAIL__TEMPLATES_DIR=templates,
    )  # fmt: skip
    assert [(each["channel"], each["key"]) for each in told["messages"]] == [
        ("email", "stripe:self:evt_1:thanks:email"),
        ("webhook", "stripe:self:evt_1:thanks:webhook"),
    ]
    email = told["messages"][0]["payload"]
    assert email["to"] == "camille@example.com"
    mail = Templates(TemplateFolders(FIRST / "templates")).render(email["template"], email["data"])
    assert mail.subject == "Thank you for €29.00"
    assert "we received €29.00 on 28 November 2025." in mail.text
    assert "- Team, monthly: €29.00" in mail.text
    assert "<b>€29.00</b>" in mail.html


def test_the_route_file_of_the_page_has_every_key_and_is_accepted(tmp_path: Path) -> None:
    from postroom.channels.stripe.routes_file import ROUTE_KEYS

    listed = routes(tmp_path, "check", "--file", str(SAMPLES / "routes" / "routes.toml"))
    assert {each["key"] for each in listed} >= {"receipt:email", "large:email"}
    text = (SAMPLES / "routes" / "routes.toml").read_text(encoding="utf-8")
    assert [key for key in ROUTE_KEYS if f"\n{key} = " not in text] == []


@pytest.fixture
async def scene(pool: Pool, tmp_path: Path) -> AsyncIterator[Scene]:
    folder = SAMPLES / "handlers"
    (tmp_path / "prices.py").write_text((folder / "prices.py").read_text(encoding="utf-8"), encoding="utf-8")
    handlers = (folder / "handlers.py").read_text(encoding="utf-8").replace("fetch=True", "fetch=False")
    scene = Scene(pool, tmp_path, handlers=handlers)
    yield scene
    await scene.close()


async def test_the_handler_writes_its_own_table_and_publishes_in_one_transaction(scene: Scene) -> None:
    await scene.pool.execute("create table plan (customer text primary key, name text not null)")
    runner = await scene.runner.fetchval("select session_user::text")
    await scene.pool.execute(f"grant select, insert, update on plan to {runner}")
    price = {"price": {"nickname": "team"}}
    subscription = {"id": "sub_1", "object": "subscription", "customer": "cus_1", "items": {"data": [price]}}
    await scene.process(snapshot_event("customer.subscription.created", subscription, event_id="evt_1"))
    assert await scene.pool.fetchval("select name from plan where customer = 'cus_1'") == "team"
    assert await scene.sent("webhook") == [{"data": {"subscription": "sub_1", "plan": "team"}}]
    row = await scene.row(
        "select key, tenant, type, ordering_key from postroom.message where channel = 'webhook'"
    )
    assert dict(row) == {
        "key": "stripe:self:evt_1:handler/plan:plan-changed",
        "tenant": "cus_1",
        "type": "plan.changed",
        "ordering_key": "cus_1",
    }
