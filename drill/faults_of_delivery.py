"""Mail, webhooks, exports, and the sum of the ledger."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import aiohttp

from drill.installation import PROVIDER_PASSWORD, PROVIDER_USER
from drill.scenario import Scenario, Scene
from postroom.admin import channels, limits
from postroom.admin.audit import Actor
from postroom.admin.tokens import Scope
from postroom.base.db import transaction
from postroom.channels.webhooks import endpoints
from postroom.outbox.limits import LimitKey
from postroom.outbox.model import Channel, Message
from postroom.outbox.publish import publish, publish_many

BURST: Final = 150
BOUNCED: Final = 60
COMPLAINED: Final = 12
SENT_WITHIN_S: Final = 30.0
STILL_WAITING: Final = "select exists (select from postroom.delivery where message_id = any ($1))"
STRANGER: Final = "stranger"
EXPORT_DISK: Final = "size=16m"
FILLER: Final = "core.4711"


async def change_mail_password(scene: Scene) -> None:
    """The provider's password is not the one we have; so that a mail dies at once, it has one attempt."""
    installation = scene.installation
    installation.set("POSTROOM_EMAIL__URL", installation.mail_url("wrong"))
    installation.set("POSTROOM_EMAIL__ATTEMPTS_MAX", "1")
    await installation.restart("runner")
    mail = {"to": "team@example.com", "subject": "News", "text": "Many at once."}
    async with transaction(installation.pool) as conn:
        await publish_many(conn, [Message(channel=Channel.EMAIL, payload=mail)] * BURST)


async def allow_attempts_again(scene: Scene) -> None:
    scene.installation.set("POSTROOM_EMAIL__ATTEMPTS_MAX", "12")


async def mail_variables(scene: Scene) -> Mapping[str, str]:
    return {"NEW_EMAIL_URL": scene.installation.mail_url()}


async def bounce_mails(scene: Scene) -> None:
    """A list of addresses that are none."""
    await _report(scene, BOUNCED, {"RecordType": "Bounce", "Type": "HardBounce", "Description": "unknown"})


async def complain_of_mails(scene: Scene) -> None:
    await _report(scene, COMPLAINED, {"RecordType": "SpamComplaint", "Type": "SpamComplaint"})


async def _report(scene: Scene, count: int, told: Mapping[str, str]) -> None:
    """So many mails, and for each what Postmark tells of it."""
    mails = [
        Message(
            channel=Channel.EMAIL,
            payload={"to": f"{told['Type']}{n}@example.com", "subject": "News", "text": "All of it."},
            tenant=told["Type"],
        )
        for n in range(count)
    ]
    async with transaction(scene.installation.pool) as conn:
        published = await publish_many(conn, mails)
    async with asyncio.timeout(SENT_WITHIN_S):
        while await scene.installation.pool.fetchval(STILL_WAITING, [each.id for each in published]):
            await asyncio.sleep(0.2)
    url = f"{scene.installation.url}/v1/email/events/postmark"
    login = aiohttp.BasicAuth(PROVIDER_USER, PROVIDER_PASSWORD)
    async with aiohttp.ClientSession(auth=login) as session:
        for message, mail in zip(published, mails, strict=True):
            event = {
                **told,
                "ID": int(message.id) % 2**31,
                "MessageID": str(message.id),
                "Metadata": {"postroom": str(message.id)},
                "Email": mail.payload["to"],
                "BouncedAt": datetime.now(UTC).isoformat(),
            }
            async with session.post(url, json=event) as response:
                response.raise_for_status()


async def bounced_variables(_scene: Scene) -> Mapping[str, str]:
    return {"TENANT": "HardBounce"}


async def complained_variables(_scene: Scene) -> Mapping[str, str]:
    return {"TENANT": "SpamComplaint"}


async def refuse_webhooks(scene: Scene) -> None:
    scene.installation.stranger.behaviour = "gone"
    payload: dict[str, Any] = {"url": scene.installation.stranger.url(), "type": "drill.sent", "data": {}}
    async with transaction(scene.installation.pool) as conn:
        await publish_many(conn, [Message(channel=Channel.WEBHOOK, payload=payload)] * 3)


async def take_webhooks(scene: Scene) -> None:
    scene.installation.stranger.behaviour = "ok"


async def refused_variables(scene: Scene) -> Mapping[str, str]:
    query = (
        "select fingerprint from postroom.dead_letter where channel = 'webhook' order by died_at desc limit 1"
    )
    return {"FINGERPRINT": await scene.installation.pool.fetchval(query)}


async def park_endpoint(scene: Scene) -> None:
    """An endpoint whose receiver answers 410 by mistake."""
    scene.installation.stranger.behaviour = "gone"
    async with transaction(scene.installation.pool) as conn:
        made = await endpoints.create_endpoint(
            conn, tenant=STRANGER, url=scene.installation.stranger.url(), allow_private=True
        )
        payload = {"tenant": STRANGER, "type": "drill.sent", "data": {}}
        await publish_many(conn, [Message(channel=Channel.WEBHOOK, payload=payload)] * 3)
    scene.installation.stranger.secrets.append(made.secret.get_secret_value())


async def parked_variables(scene: Scene) -> Mapping[str, str]:
    query = "select id::text from postroom.endpoint where tenant = $1"
    return {"ENDPOINT": await scene.installation.pool.fetchval(query, STRANGER), "SINCE": "1h"}


async def pause_exports(scene: Scene) -> None:
    """A colleague pauses a channel and forgets it."""
    somebody = Actor("colleague", scopes=frozenset(Scope))
    async with transaction(scene.installation.pool) as conn:
        await channels.pause(conn, Channel.EXPORT, reason="the bucket is being moved", actor=somebody)


async def paused_variables(_scene: Scene) -> Mapping[str, str]:
    return {"CHANNEL": Channel.EXPORT}


async def limit_exports(scene: Scene) -> None:
    """A colleague limits a channel to next to nothing."""
    somebody = Actor("colleague", scopes=frozenset(Scope))
    async with transaction(scene.installation.pool) as conn:
        await limits.set_limit(
            conn,
            LimitKey(Channel.EXPORT),
            per_second=0.01,
            in_flight=None,
            reason="the bucket is slow",
            actor=somebody,
        )


async def break_receiver(scene: Scene) -> None:
    scene.installation.customer.behaviour = "status/500"


async def mend_receiver(scene: Scene) -> None:
    scene.installation.customer.behaviour = "ok"


async def lose_delivery(scene: Scene) -> None:
    """Somebody deletes a row by hand."""
    message = Message(
        channel=Channel.EMAIL,
        payload={"to": "late@example.com", "subject": "Later", "text": "In an hour."},
        deliver_at=datetime.now(UTC) + timedelta(hours=1),
    )
    async with transaction(scene.installation.pool) as conn:
        published = await publish(conn, message)
    await scene.installation.pool.execute("delete from postroom.delivery where message_id = $1", published.id)


def cannot_mount() -> str | None:
    """A small disk to fill needs the right to mount one."""
    return (
        None if os.geteuid() == 0 and os.environ.get("POSTROOM_DRILL_MOUNTS") else "needs the right to mount"
    )


def mount_exports(scene_exports: str) -> None:
    """A small volume of its own for exports. Errors: `CalledProcessError`."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", EXPORT_DISK, "exports", scene_exports], check=True)


async def fill_disk(scene: Scene) -> None:
    await asyncio.to_thread(_fill, scene)


def _fill(scene: Scene) -> None:
    chunk = bytes(65_536)
    try:
        with (scene.installation.exports / FILLER).open("wb", buffering=0) as filler:
            while filler.write(chunk):
                continue
    except OSError:
        return  # full, which was the aim


async def disk_variables(scene: Scene) -> Mapping[str, str]:
    exports = scene.installation.exports
    return {"VOLUME_DIR": str(exports), "FILE": str(exports / FILLER)}


SCENARIOS = (
    Scenario(
        name="mail-password-wrong",
        fault="wrong SMTP password, and 150 mails at once",
        alerts=("EmailDeadLettersGrowing", "CircuitOpenLong", "BacklogGrowing", "JobStale"),
        break_it=change_mail_password,
        mend_outside=allow_attempts_again,
        variables=mail_variables,
        also=frozenset({"OutboxDeadLettersGrowing", "JobsRunnerSilent", "DeliveriesLate"}),
        labels={
            "CircuitOpenLong": {"circuit": "email"},
            "BacklogGrowing": {"channel": "email"},
            "JobStale": {"job": "email-dlq"},
        },
    ),
    Scenario(
        name="mails-bounce",
        fault="a provider tells of 60 mails that bounced",
        alerts=("EmailBounceRate",),
        break_it=bounce_mails,
        variables=bounced_variables,
        alone=True,
    ),
    Scenario(
        name="mails-reported",
        fault="a provider tells of 12 mails that were reported as spam",
        alerts=("EmailComplaintRate",),
        break_it=complain_of_mails,
        variables=complained_variables,
        alone=True,
    ),
    Scenario(
        name="webhooks-refused",
        fault="a receiver answers 410 by mistake",
        alerts=("OutboxDeadLettersGrowing",),
        break_it=refuse_webhooks,
        mend_outside=take_webhooks,
        variables=refused_variables,
        alone=True,
        quick=True,
    ),
    Scenario(
        name="endpoint-parked",
        fault="an endpoint's receiver answers 410 by mistake",
        alerts=("DeliveriesParked", "EndpointDisabled"),
        break_it=park_endpoint,
        mend_outside=take_webhooks,
        variables=parked_variables,
    ),
    Scenario(
        name="channel-paused",
        fault="somebody pauses the exports and forgets it",
        alerts=("ChannelPausedLong",),
        break_it=pause_exports,
        variables=paused_variables,
    ),
    Scenario(
        name="limit-too-low",
        fault="somebody limits the exports to next to nothing",
        alerts=("LimitReachedLong",),
        break_it=limit_exports,
        variables=paused_variables,
        also=frozenset({"DeliveriesLate", "BacklogGrowing"}),
        alone=True,
    ),
    Scenario(
        name="receiver-down",
        fault="a receiver answers 500",
        alerts=("DestinationCircuitOpenLong",),
        break_it=break_receiver,
        mend_outside=mend_receiver,
    ),
    Scenario(
        name="delivery-lost",
        fault="a delivery is deleted by hand",
        alerts=("LedgerDrift",),
        break_it=lose_delivery,
        quick=True,
    ),
    Scenario(
        name="disk-full",
        fault="the volume of exports is filled to the last byte",
        alerts=("DiskNearlyFull",),
        labels={"DiskNearlyFull": {"volume": "exports"}},
        break_it=fill_disk,
        variables=disk_variables,
        also=frozenset({"DestinationCircuitOpenLong", "DeliveriesFailing"}),
        impossible=cannot_mount,
    ),
)
