"""What cannot work is refused before anything starts, all of it at once; what starts has what it needs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from postroom.base.email_settings import EmailSettings
from postroom.base.errors import SettingsInvalid
from postroom.base.export_settings import ExportSettings
from postroom.base.settings import Environment, Settings
from postroom.wiring import open_services, open_worker
from tests.fixtures.roles import as_role

ROUTES = """
[[route]]
on = "invoice.paid"
email = { template = "reciept", to = "{{ object.customer_email }}" }
webhook = { tenant = "acme", type = "invoice paid" }
export = { dataset = "Invoices" }

[[route]]
on = "invoice.voided"
email = { template = "{{ object.metadata.template }}", to = "team at example.com" }
webhook = { url = "http://127.0.0.1/hook" }

[[route]]
on = "invoice.payment_failed"
email = { template = "payment_failed", to = ["{{ object.customer_email }}", "team@example.com"] }
webhook = { tenant = "{{ object.customer }}", data = { id = "{{ object.id }}" } }
export = { dataset = "invoices", record = { id = "{{ object.id }}" } }
"""


async def faults(dsn: str, folder: Path, **changes: Any) -> list[str]:
    routes = folder / "routes.toml"
    routes.write_text(ROUTES)
    with pytest.raises(SettingsInvalid) as refused:
        async with open_services(Settings(state_dir=folder, routes=routes, **changes), as_role(dsn, "api")):
            pytest.fail("it started")
    return [fault.removeprefix(f"{routes}") for fault in refused.value.faults]


async def test_a_route_that_its_channel_could_never_send_is_refused_with_its_line(
    dsn: str, tmp_path: Path
) -> None:
    template, type_, dataset, to, url = await faults(dsn, tmp_path)
    assert template == (
        ":4: email: template: unknown template 'reciept'; known are card_expires, payment_failed, "
        "receipt, refund, subscription_changed, trial_ends, welcome"
    )
    assert type_.startswith(":5: webhook: type must have")
    assert dataset.startswith(":6: export: dataset must be")
    assert to.startswith(":10: email: to is no email address")
    assert url == ":11: webhook: url names a private address"


async def test_the_faults_of_all_parts_come_together(dsn: str, tmp_path: Path) -> None:
    found = await faults(
        dsn,
        tmp_path,
        email=EmailSettings(url=SecretStr("http://mail.example")),
        exports=ExportSettings(url="ftp://example.com"),
        handlers=(str(tmp_path / "absent.py"),),
    )
    for name in ("POSTROOM_EMAIL__URL", "POSTROOM_EXPORTS__URL", "absent.py", ":11: webhook: url"):
        assert any(name in fault for fault in found), (name, found)


async def test_in_prod_on_needs_stripes_secret_unless_another_ledger_may_have_it(
    dsn: str, tmp_path: Path
) -> None:
    handlers = tmp_path / "handlers.py"
    handlers.write_text("from app.stripe import on\n\n@on('invoice.paid')\nasync def paid(event, tx): ...\n")
    settings = Settings(state_dir=tmp_path, handlers=(str(handlers),))
    settings.env = Environment.PROD
    with pytest.raises(SettingsInvalid, match="needed with POSTROOM_ENV=prod where @on is used"):
        async with open_services(settings, as_role(dsn, "api")):
            pytest.fail("it started")
    settings.ledger = "eu"
    async with open_services(settings, as_role(dsn, "api")) as services:
        assert not services.settings.stripe.on


async def test_a_worker_beats_while_its_jobs_hold_every_connection(dsn: str, tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path, database_connections_max=2)
    async with open_worker(settings, as_role(dsn, "runner"), role="test") as parts:
        pool = parts.services.pool
        async with asyncio.timeout(10), pool.acquire() as conn, pool.acquire():
            await conn.execute("update postroom.worker set beat_at = 'epoch'")
            beating = asyncio.create_task(parts.worker.beating())
            while not await conn.fetchval("select bool_and(beat_at > 'epoch') from postroom.worker"):
                await asyncio.sleep(0.01)
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)
