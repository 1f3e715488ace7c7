"""Mail templates of Django apps: found by the runner and the command, in the order of the apps."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from postroom import Publication
from postroom.base.db import Pool
from postroom.dev.mailbox import Mailbox
from tests.channels.email.test_template import write
from tests.fixtures.django import django_on
from tests.fixtures.roles import as_role
from tests.processes.commands import ROOT, Ended, run

PROJECT = """
from tests.fixtures.django_shop.settings import *
INSTALLED_APPS = [*INSTALLED_APPS, "loyalty"]
"""


@pytest.fixture
def project(tmp_path: Path) -> dict[str, str]:
    """The shop and an app behind it, which has the shop's template, too: what names them to Postroom."""
    (tmp_path / "project.py").write_text(PROJECT)
    folder = tmp_path / "loyalty" / "mail_templates"
    folder.mkdir(parents=True)
    (tmp_path / "loyalty" / "__init__.py").touch()
    write(folder, "loyalty_points", subject="{{ points }} points", txt="You have {{ points }}")
    (folder / "loyalty_points.sample.json").write_text('{"points": 3}')
    (folder / "shop_order.subject").write_text("Not this one")
    return {
        "PYTHONPATH": f"{ROOT}:{tmp_path}",
        "DJANGO_SETTINGS_MODULE": "project",
        "POSTROOM_EMAIL__TEMPLATES_APPS": "django",
    }


async def test_a_runner_sends_what_the_apps_have_and_the_own_folder_comes_first(
    dsn: str, pool: Pool, tmp_path: Path, project: dict[str, str]
) -> None:
    mailbox = Mailbox()
    await mailbox.start()
    settings = {
        **project,
        "POSTROOM_DATABASE_URL": as_role(dsn, "runner"),
        "POSTROOM_EMAIL__URL": f"smtp://127.0.0.1:{mailbox.port}",
        "POSTROOM_STATE_DIR": str(tmp_path / "state"),
    }

    async def postroom(*words: str, **more: str) -> Ended:
        done = await asyncio.to_thread(run, "postroom", *words, home=tmp_path, settings={**settings, **more})
        assert done.code == 0, done.err
        return done

    work = ("work", "--job", "outbox-delivery", "--once")
    order, points = mail("shop_order", number=7), mail("loyalty_points", points=40)
    with django_on(dsn):
        from django.db import transaction

        from postroom.contrib.django import publish

        with transaction.atomic():
            first = publish(**order)
            publish(**points)
        await postroom(*work)
        assert sorted(subjects(mailbox)) == ["40 points", "Your order 7"]
        show = ("messages", "show", str(first), "--json")
        assert (await postroom(*show)).json["template"]["state"] == "same"

        own = tmp_path / "own"
        own.mkdir()
        (own / "shop_order.subject").write_text("Order {{ number }} of ours")
        with transaction.atomic():
            publish(**order)
        await postroom(*work, POSTROOM_EMAIL__TEMPLATES_DIR=str(own))
        told = await postroom(*show, POSTROOM_EMAIL__TEMPLATES_DIR=str(own))
        assert told.json["template"]["state"] == "changed"
    await mailbox.close()
    assert subjects(mailbox)[2:] == ["Order 7 of ours"]
    body = mailbox.mails[-1].message.get_body(("html",))
    assert body is not None
    assert "Order 7 of the shop" in body.get_content()


def mail(template: str, **data: Any) -> Publication:
    return {"channel": "email", "payload": {"to": "ada@example.com", "template": template, "data": data}}


def subjects(mailbox: Mailbox) -> list[str]:
    return [each.message["Subject"] for each in mailbox.mails]


def test_the_command_finds_them_and_says_why_it_cannot(tmp_path: Path, project: dict[str, str]) -> None:
    checked = run("postroom", "template", "check", "--json", home=tmp_path, settings=project)
    assert checked.code == 0, checked.out
    assert {"loyalty_points", "receipt", "shop_order"} < {*checked.json["templates"]}
    shown = run("postroom", "template", "preview", "shop_order", home=tmp_path, settings=project)
    assert "Subject: Your order 7\n" in shown.out
    (tmp_path / "project.py").write_text("INSTALLED_APPS = ['nosuch']")
    failed = run("postroom", "template", "check", home=tmp_path, settings=project)
    assert failed.code == 2
    assert "POSTROOM_EMAIL__TEMPLATES_APPS: ModuleNotFoundError: No module named 'nosuch'" in failed.err


def test_the_check_of_django_names_what_two_apps_have(tmp_path: Path, project: dict[str, str]) -> None:
    told = run("django", "check", home=tmp_path, settings=project)
    assert told.code == 0, told.err
    assert told.err.count("postroom.W003") == 1
    both = "mail template shop_order.subject is in tests.fixtures.django_shop, loyalty"
    assert f"{both}: that of tests.fixtures.django_shop is used" in " ".join(told.err.split())
