"""What a login role of the database may publish by SQL: for which tenants, on which channels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from postroom.admin.audit import Actor, record
from postroom.admin.tokens import check_reach
from postroom.base.bounded_page import as_kind
from postroom.base.db import Connection, query
from postroom.base.errors import InvalidInput, NotFound
from postroom.outbox.reach import Reach

_SET = query(__package__, "set_publisher_limit")
_REMOVE = query(__package__, "remove_publisher_limit")
_LIST = query(__package__, "list_publisher_limits")

LISTED_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class PublisherLimit:
    """None means all. A role without a limit publishes whatever it likes."""

    role: str
    tenants: list[str] | None
    channels: list[str] | None
    changed_at: datetime


async def allow(
    conn: Connection,
    role: str,
    *,
    tenants: Iterable[str] | None,
    channels: Iterable[str] | None,
    actor: Actor,
) -> None:
    """Let a role publish for these tenants on these channels and for no others, in place of what it might.

    What has no tenant is within no list of tenants.
    Errors: `InvalidInput` for neither, `NotFound` for a role that cannot log in here. Transaction: the
    caller's; it holds for what is published after that commits.
    """
    reach = Reach.of(tenants, channels)
    if not reach.limited:
        raise InvalidInput("name a tenant or a channel at least", field="tenants")
    check_reach(reach)
    row = await conn.fetchrow(_SET, role, *reach.parameters())
    if row is None:
        raise NotFound(f"no role of this server that logs in is called {role[:63]!r}")
    before = Reach.of(row["tenants"], row["channels"])
    await record(conn, actor, "publisher.allow", role, old=before.described(), new=reach.described())


async def allow_all(conn: Connection, role: str, *, actor: Actor) -> None:
    """Let a role publish everything again.

    Errors: `NotFound` where it has no limit. Transaction: the caller's.
    """
    row = await conn.fetchrow(_REMOVE, role)
    if row is None:
        raise NotFound(f"the role {role[:63]!r} has no limit")
    before = Reach.of(row["tenants"], row["channels"])
    await record(conn, actor, "publisher.allow", role, old=before.described(), new={})


async def list_limits(conn: Connection) -> list[PublisherLimit]:
    """By role, at most `LISTED_MAX`."""
    return [as_kind(row, PublisherLimit) for row in await conn.fetch(_LIST, LISTED_MAX)]
