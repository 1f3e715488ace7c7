"""A page that looked at a part of a table says so, and its way on neither skips nor repeats."""

from __future__ import annotations

import html
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from postroom.admin import audit
from postroom.base.settings import Settings
from postroom.channels.stripe import reading as event_store
from postroom.outbox.ledger import dead_letters as letter_store
from postroom.outbox.ledger import messages as ledger_store
from tests.console.http import Visitor, visitor
from tests.fixtures.api import Api, running_api

ROW = re.compile(r"<tr data-row>.*?</tr>", re.DOTALL)
NEXT = re.compile(r'rel="next" href="([^"]+)">([^<]+)<')
PAGES_MAX = 60
FILL = """
insert into postroom.message (id, channel, type, tenant, key, payload, deliveries, created_at)
select postroom.uuid7(), case n % 3 when 0 then 'email' when 1 then 'webhook' else 'export' end,
    case n % 40 when 5 then 'rare' else 'usual' end, case n % 40 when 5 then 'small' else 'big' end, 'k' || n, '{}', 1, now()
from generate_series(1, 400) n;
insert into postroom.delivery (message_id, channel, destination, state, attempts, due_at)
select id, channel, 'there', 'pending', 0,
    case when substr(key, 2)::int % 2 = 0 then 'infinity' else now() + substr(key, 2)::int * interval '1 s' end
from postroom.message where substr(key, 2)::int <= 200;
-- The channels die at different paces, so that a look ends at another time in each.
insert into postroom.dead_letter (message_id, n, seq, channel, destination, attempts, cause, fingerprint, reason, died_at)
select id, 0, 1, channel, 'host' || substr(key, 2)::int % 2, 8, 'ours', 'fault' || substr(key, 2)::int % 2, 'r',
    now() - substr(key, 2)::int * case channel when 'email' then interval '1 s' else interval '1 h' end
from postroom.message where substr(key, 2)::int > 200;
insert into postroom.stripe_event (account, event_id, message_id, source, state, type, object_id, thin, event_created,
    secret, raw, received_at)
select 'self', 'evt_' || n, postroom.uuid7(), 'webhook', 'received', case n % 40 when 5 then 'rare' else 'usual' end,
    'cus_1', false, now(), 's', 'x', now() - n / 10 * interval '1 s' from generate_series(1, 300) n;
insert into postroom.audit (actor, action)
select case n % 40 when 5 then 'rare' else 'usual' end, 'a' from generate_series(1, 300) n;
"""  # noqa: E501

CHAINS = """
with root as (
    insert into postroom.message (id, channel, type, payload, deliveries)
    select postroom.uuid7(), 'stripe', 'root', '{}', 1 returning id
), made as (
    insert into postroom.message (id, channel, type, correlation_id, payload, deliveries)
    select postroom.uuid7(), 'stripe', 't', root.id::text, '{}', 1 from root, generate_series(1, 130)
    returning id
), booked as (
    insert into postroom.stripe_event (account, event_id, message_id, source, state, type, object_id, thin,
        event_created, secret)
    select 'self', 'evt_' || id, id, 'webhook', 'received', 't', 'sub_chain', false, now(), 's' from made
)
select id from root
"""


@pytest.fixture
async def api(dsn: str, tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(dsn, Settings(state_dir=tmp_path)) as running:
        yield running


@pytest.fixture
async def somebody(api: Api, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Visitor]:
    """Signed in where every look is short: 30 rows."""
    for module, name in (
        (ledger_store, "SCAN_MAX"), (ledger_store, "WAITING_SCAN_MAX"), (letter_store, "SCAN_MAX"),
        (event_store, "SCAN_MAX"), (audit, "TRAIL_SCAN_MAX"),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, 30)
    async with visitor(api) as guest:
        await api.pool.execute(FILL)
        await guest.sign_in(api.token)
        yield guest


async def _walk(guest: Visitor, path: str) -> tuple[list[str], list[str]]:
    """Every row from the first page to the last, and what the ways on were called."""
    rows: list[str] = []
    ways: list[str] = []
    for _ in range(PAGES_MAX):
        answer = await guest.get(path)
        assert answer.status == 200, answer.text
        rows += ROW.findall(answer.text)
        found = NEXT.search(answer.text)
        if found is None:
            return rows, ways
        path = html.unescape(found[1])
        ways.append(found[2])
        assert ("may fit too" in answer.text) == ("further" in found[2])
    raise AssertionError(f"no end after {PAGES_MAX} pages")


def _names(rows: list[str]) -> list[str]:
    """What each row is about: the address that it links to."""
    return [found[1] for row in rows if (found := re.search(r'href="([^"]+)"', row))]


@pytest.mark.rows_by_hand
@pytest.mark.parametrize(
    ("path", "count"),
    [
        ("/console/messages?type=rare", 10),
        ("/console/messages?tenant=big&type=usual", 390),
        ("/console/messages?type=nosuch", 0),
        ("/console/messages?status=pending", 100),
        ("/console/messages?status=pending&tenant=small", 5),
        ("/console/messages?status=pending&tenant=big", 95),
        ("/console/messages?status=pending&within=15m", 100),
        ("/console/messages?status=pending&until=2020-01-01T00:00&type=nosuch", 0),
        ("/console/messages?status=pending&until=2020-01-01T00:00", 0),
        ("/console/messages?status=dead&type=usual&within=1h", 195),
        ("/console/messages?status=dead&type=rare", 5),
        ("/console/messages?status=parked", 100),
        ("/console/messages?status=parked&type=usual", 100),
        ("/console/dead-letters?tenant=small", 5),
        ("/console/dead-letters?tenant=big", 195),
        ("/console/dead-letters?tenant=nosuch", 0),
        ("/console/dead-letters?cause=passing", 0),
        ("/console/dead-letters?destination=host1&tenant=small", 5),
        ("/console/dead-letters?destination=host1&tenant=big", 95),
        ("/console/dead-letters?fingerprint=fault0&tenant=big", 100),
        ("/console/stripe?type=rare", 8),
        ("/console/stripe?type=usual", 292),
    ],
)
async def test_every_row_that_fits_is_met_once(somebody: Visitor, path: str, count: int) -> None:
    rows, ways = await _walk(somebody, path)
    names = _names(rows)
    assert (len(names), len(set(names))) == (count, count)
    # Dead letters of a tenant or a cause have an index of their own: the scan passes over none of another's.
    exact = path.startswith(("/console/dead-letters?tenant", "/console/dead-letters?cause"))
    if path.endswith(("rare", "small", "nosuch", "passing")):
        assert ("Look further →" in ways) is not exact


@pytest.mark.rows_by_hand
@pytest.mark.parametrize(
    ("path", "count"),
    [
        ("outbox?type=rare", 10),
        ("outbox?tenant=big&type=usual", 390),
        ("outbox?status=pending", 100),
        ("outbox?status=parked&tenant=big", 100),
        ("outbox?status=dead&type=rare", 5),
        ("outbox?status=delivered", 0),
        ("outbox?key=k7", 1),
        ("outbox/dead-letter?tenant=small", 5),
        ("outbox/dead-letter?cause=ours&type=usual", 195),
        ("outbox/dead-letter?fingerprint=fault0&channel=email", 33),
        ("outbox/dead-letter?cause=passing", 0),
        ("queues/dead-letter?destination=host1&tenant=big", 95),
        ("audit?actor=rare", 8),
    ],
)
async def test_every_row_that_fits_is_met_once_over_http(
    api: Api, somebody: Visitor, path: str, count: int
) -> None:
    """The same scans as behind the pages, with the same limits."""
    met: list[str] = []
    more: str | None = ""
    while more is not None:
        cursor = f"&cursor={more}" if more else ""
        answer = await api.get(f"/v1/admin/{path}&limit=40{cursor}")
        assert answer.status == 200, answer.text
        met += [str(item.get("id", item.get("message_id"))) for item in answer.json["items"]]
        more = answer.json["next_cursor"]
        assert len(met) <= count
    assert (len(met), len(set(met))) == (count, count)


@pytest.mark.rows_by_hand
async def test_the_trail_is_followed_to_its_end(somebody: Visitor) -> None:
    rows, ways = await _walk(somebody, "/console/audit?actor=rare")
    assert len(rows) == 8
    assert "Look further →" in ways


async def test_every_token_is_on_some_page(api: Api, somebody: Visitor) -> None:
    await api.pool.execute(
        """insert into postroom.token (name, hash, scopes)
        select 'n' || n, sha256(n::text::bytea), '{admin:read}' from generate_series(1, 220) n"""
    )
    rows, ways = await _walk(somebody, "/console/tokens")
    assert (len(rows), len(set(rows)), len(ways)) == (221, 221, 4)


@pytest.mark.rows_by_hand
async def test_nothing_found_so_far_is_not_nothing(somebody: Visitor) -> None:
    first = await somebody.get("/console/messages?type=nosuch")
    assert "No message so far fits." in first.text
    waiting = await somebody.get("/console/messages?status=pending&tenant=nosuch")
    assert "Nothing that fits waits here so far." in waiting.text


@pytest.mark.rows_by_hand
async def test_a_search_meets_every_message_of_a_long_chain_once(api: Api, somebody: Visitor) -> None:
    root = await api.pool.fetchval(CHAINS)
    for asked, count in ((str(root), 131), ("sub_chain", 130)):
        rows, ways = await _walk(somebody, f"/console/messages?q={asked}")
        names = _names(rows)
        assert (len(names), len(set(names)), ways) == (count, count, ["Older →", "Older →"])
        assert names == sorted(names, reverse=True)


@pytest.mark.rows_by_hand
async def test_the_page_of_a_message_leads_to_the_rest_of_its_chain(api: Api, somebody: Visitor) -> None:
    root = await api.pool.fetchval(CHAINS)
    page = (await somebody.get(f"/console/messages/{root}")).text
    assert "the first 101 messages that belong together" in page
    assert f'href="/console/messages?q={root}"' in page
