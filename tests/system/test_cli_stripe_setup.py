"""`postroom stripe setup` as a process: what it prints, keeps and writes into the trail."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from postroom.admin import audit
from postroom.base.db import Pool
from postroom.dev.stripe_api import Fault, StripeStandIn
from tests.processes.commands import Ended, run

URL = "https://billing.example.com/v1/stripe/webhook"
SECRETS = "POSTROOM_STRIPE__WEBHOOK_SECRETS"

Setup = Callable[..., Awaitable[Ended]]
SETUP = ("stripe", "setup")


@pytest.fixture
def setup(dsn: str, tmp_path: Path, stand_in: StripeStandIn) -> Setup:
    routes = tmp_path / "routes.toml"
    routes.write_text('[[route]]\non = "invoice.paid"\nexport = { dataset = "invoices" }\n')
    settings = {
        "POSTROOM_DATABASE_URL": dsn,
        "POSTROOM_STATE_DIR": str(tmp_path / "state"),
        "POSTROOM_ROUTES": str(routes),
        "POSTROOM_STRIPE__API_KEY": "sk_test_cli_0123456789",
        "POSTROOM_STRIPE__API_BASE": stand_in.url,
        "POSTROOM_STRIPE__WEBHOOK_URL": URL,
        "POSTROOM_STRIPE__MIRROR": "customer",
    }

    async def call(*arguments: str, command: tuple[str, ...] = SETUP, **more: str) -> Ended:
        given = {name: text for name, text in {**settings, **more}.items() if text}
        return await asyncio.to_thread(run, "postroom", *command, *arguments, home=tmp_path, settings=given)

    return call


async def test_the_line_that_is_printed_makes_a_setting_and_then_nothing_is_left_to_do(
    setup: Setup, stand_in: StripeStandIn, pool: Pool
) -> None:
    """In prod, too, where `serve` refuses to start without a secret: nobody has one before this."""
    look = await setup("--dry-run", POSTROOM_ENV="prod")
    assert (look.code, stand_in.endpoints.changes) == (0, [])
    assert f"would create own endpoint {URL}, 4 types" in look.out

    made = await setup(POSTROOM_ENV="prod")
    assert made.code == 0, made.err
    [secret] = stand_in.endpoints.secrets.values()
    line = made.out.splitlines()[0]
    shell = await asyncio.create_subprocess_exec(
        *("sh", "-c", f'{SECRETS}=whsec_old; {line}; echo "${SECRETS}"'), stdout=asyncio.subprocess.PIPE
    )
    assert (await shell.communicate())[0].decode() == f"whsec_old,{secret}\n"

    again = await setup(**{SECRETS: secret})
    assert (again.code, again.out) == (0, "Nothing to change: Stripe has what the settings want.\n")
    async with pool.acquire() as conn:
        trail = (await audit.list_trail(conn)).rows
    assert [entry.action for entry in trail] == ["stripe.setup_ended", "stripe.setup"]
    assert secret not in str(trail)


async def test_a_file_gets_the_secret_and_nobody_else_may_read_it(
    setup: Setup, stand_in: StripeStandIn, tmp_path: Path
) -> None:
    file = tmp_path / "secrets"
    first = await setup("--write", str(file), "--json")
    assert first.code == 0, first.err
    [secret] = stand_in.endpoints.secrets.values()
    assert secret not in first.out + first.err
    assert first.json["secrets"][0]["file"] == str(file)
    assert (file.read_text(), file.stat().st_mode & 0o777) == (f"{secret}\n", 0o600)

    file.chmod(0o644)
    second = await setup(
        "--write", str(file), "--upgrade", "2026-10-28.endive", **{f"{SECRETS}_FILE": str(file)}
    )
    assert second.code == 2
    assert "POSTROOM_STRIPE__API_VERSION: not set" in second.err
    pinned = {"POSTROOM_STRIPE__API_VERSION": "2025-03-31.basil", f"{SECRETS}_FILE": str(file)}
    third = await setup("--write", str(file), **pinned)
    assert third.code == 0, third.err
    old, new = stand_in.endpoints.secrets.values()
    assert (file.read_text(), file.stat().st_mode & 0o777) == (f"{old},{new}\n", 0o640)


@pytest.mark.parametrize(
    ("arguments", "settings", "told"),
    [
        (("--account", "eu"), {}, "the settings have no account eu; they have self"),
        ((), {"POSTROOM_STRIPE__API_KEY": ""}, "POSTROOM_STRIPE__API_KEY is not set"),
        ((), {"POSTROOM_STRIPE__WEBHOOK_URL": ""}, "POSTROOM_STRIPE__WEBHOOK_URL: not set"),
        ((), {"POSTROOM_STRIPE__MIRROR": "custommer"}, "did you mean customer"),
        (
            (),
            {
                "POSTROOM_STRIPE__API_KEY": "sk_live_0123456789",
                "POSTROOM_STRIPE__WEBHOOK_URL": "http://x.example/v1/stripe/webhook",
            },
            "a live account needs https://",
        ),
        (("--write", "/nowhere/secrets"), {}, "/nowhere/secrets cannot be written"),
        (("--upgrade", "2026-10-28.endive", "--delete-old"), {}, "one of them"),
    ],
)
async def test_wrong_use_changes_nothing(
    setup: Setup, stand_in: StripeStandIn, arguments: tuple[str, ...], settings: dict[str, str], told: str
) -> None:
    ended = await setup(*arguments, **settings)
    assert ended.code == 2
    assert told in " ".join(ended.err.split())
    assert stand_in.endpoints.changes == []


async def test_what_stripe_refuses_is_told_with_the_line_and_fails(
    setup: Setup, stand_in: StripeStandIn
) -> None:
    stand_in.endpoints.unknown_types.add("invoice.paid")
    ended = await setup()
    assert ended.code == 1
    assert "routes.toml:2 names" in ended.out
    refused = await setup(POSTROOM_STRIPE__API_KEY="rk_test_0123456789")
    assert refused.code == 1
    assert "POSTROOM_STRIPE__API_KEY" in refused.err
    assert "lacks the right webhook_read" in refused.err


async def test_a_secret_that_was_told_before_an_outage_is_told_on(
    setup: Setup, stand_in: StripeStandIn
) -> None:
    """Of two endpoints the first one is made when Stripe goes away: list, endpoint, tag, and then nothing."""
    stand_in.fail(Fault.SERVER_ERROR, after=3)
    stopped = await setup("--json", "--wait-s", "0", POSTROOM_STRIPE__CONNECT="true")
    assert stopped.code == 1
    assert "Run the same command again" in stopped.err
    [secret] = stand_in.endpoints.secrets.values()
    assert [kept["secret"] for kept in stopped.json["secrets"]] == [secret]


async def test_a_secret_is_told_on_however_the_command_ends(
    setup: Setup, stand_in: StripeStandIn, pool: Pool
) -> None:
    """Here the database goes away in the middle."""
    await pool.execute(
        "create function fail() returns trigger language plpgsql as $$ begin raise 'away'; end $$;"
        " create trigger fails before insert on postroom.audit for each row"
        " when (new.action = 'stripe.setup_ended') execute function fail()"
    )
    stopped = await setup("--json")
    assert stopped.code != 0
    [secret] = stand_in.endpoints.secrets.values()
    assert [kept["secret"] for kept in stopped.json["secrets"]] == [secret]


async def test_the_doctor_of_the_shell_asks_stripe_and_what_it_says_mends_it(
    setup: Setup, stand_in: StripeStandIn
) -> None:
    async def said() -> list[str]:
        [secret] = stand_in.endpoints.secrets.values()
        found = (await setup("--json", command=("doctor",), **{SECRETS: secret})).json
        return [each["command"] for each in found if each["subject"] == "stripe"]

    await setup()
    assert await said() == [None]
    stand_in.endpoints.disable(next(iter(stand_in.endpoints.kept)))
    assert await said() == ["postroom stripe setup"]
    await setup()
    assert await said() == [None]
