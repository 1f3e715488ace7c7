"""A pytest plugin for applications: what a test published, and what becomes of it.

pytest finds it by itself once `postroom[testing]` is installed. It does nothing until a test asks for the
fixture `postroom`. `stripe_event`, `route`, `render` and `times` need no database and no fixture.
"""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from postroom.testing.kit import AsyncPostroom, Postroom
    from postroom.testing.published import Published, Sent
    from postroom.testing.real import NotDelivered
    from postroom.testing.rehearsed import render, route, times
    from postroom.testing.stripe_events import StripeEvent, stripe_event

__all__ = [
    "AsyncPostroom",
    "NotDelivered",
    "Postroom",
    "Published",
    "Sent",
    "StripeEvent",
    "render",
    "route",
    "stripe_event",
    "times",
]

_HOMES = {
    "AsyncPostroom": "kit",
    "NotDelivered": "real",
    "Postroom": "kit",
    "Published": "published",
    "Sent": "published",
    "StripeEvent": "stripe_events",
    "render": "rehearsed",
    "route": "rehearsed",
    "stripe_event": "stripe_events",
    "times": "rehearsed",
}
DATABASE = "postroom_database_url"
HANDLERS = "postroom_handlers"
OURS = {"postroom", "postroom_connection", "postroom_database_url"}
REAL = pytest.StashKey[str]()
"""The database that Django has when no test is run."""


def __getattr__(name: str) -> object:
    # pytest imports this in every run of everybody who has Postroom: nothing else is, until it is asked for.
    if name not in _HOMES:
        raise AttributeError(f"module 'postroom.testing' has no attribute {name!r}")
    return getattr(importlib.import_module(f"postroom.testing.{_HOMES[name]}"), name)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini(
        DATABASE, "The database that tests publish in; else POSTROOM_TEST_DATABASE_URL, Django's, or an own."
    )
    parser.addini(HANDLERS, "Where the tasks are, as in POSTROOM_HANDLERS.", type="args")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """pytest-django makes a test database where a test is marked: whoever asks for ours is."""
    if not _has_django(config):
        return
    from django.db import connection

    config.stash[REAL] = connection.settings_dict["NAME"]
    for item in items:
        asks = OURS & set(getattr(item, "fixturenames", ()))
        if asks and item.get_closest_marker("django_db") is None:
            item.add_marker("django_db")


@pytest.fixture(scope="session")
def postroom_database_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The database that the tests publish in, with Postroom in it.

    That of the option `postroom_database_url` or POSTROOM_TEST_DATABASE_URL, else Django's test database,
    else a PostgreSQL of its own.
    """
    from postroom.testing import database
    from postroom.testing.blocking import blocking

    if given := request.config.getini(DATABASE) or os.environ.get("POSTROOM_TEST_DATABASE_URL"):
        yield blocking(database.prepare(given))
    elif _has_django(request.config):
        from django.db import connection

        request.getfixturevalue("django_db_setup")
        if connection.settings_dict["NAME"] == request.config.stash[REAL]:
            raise RuntimeError(
                f"{request.config.stash[REAL]!r} is no test database that pytest-django has made: name the "
                f"one that tests may write to, by the option {DATABASE}"
            )
        yield blocking(database.prepare(database.url_of(connection.settings_dict)))
    else:
        with database.embedded(tmp_path_factory.mktemp("postroom")) as dsn:
            yield blocking(database.prepare(dsn))


def _has_django(config: pytest.Config) -> bool:
    if not config.pluginmanager.has_plugin("django"):
        return False
    from django.conf import settings

    return bool(settings.configured)


@pytest.fixture
def postroom_connection(request: pytest.FixtureRequest) -> Any:
    """The connection or session whose transaction a test rolls back: what is published in it is seen.

    Django's, where a test has one. Define it anew for any other; without, a test sees what is committed.
    """
    if not _has_django(request.config):
        return None
    from django.db import connection

    request.getfixturevalue("db")
    return connection if connection.in_atomic_block else None


@pytest.fixture
def postroom(
    request: pytest.FixtureRequest, postroom_database_url: str, postroom_connection: Any
) -> Iterator[Postroom | AsyncPostroom]:
    """What this test publishes. A test that is async, or a connection that is, awaits its calls."""
    from postroom.client.drivers import driver_of, is_async
    from postroom.testing import database
    from postroom.testing.blocking import blocking
    from postroom.testing.kit import AsyncPostroom, Postroom
    from postroom.testing.place import Place

    if postroom_connection is None:
        waits = inspect.iscoroutinefunction(request.function)
    else:
        waits = is_async(driver_of(postroom_connection))
    handlers = os.environ.get("POSTROOM_HANDLERS", "").split(",")
    place = Place(
        dsn=postroom_database_url,
        connection=postroom_connection,
        waits=waits,
        handlers=request.config.getini(HANDLERS) or [each.strip() for each in handlers if each.strip()],
    )
    since = blocking(database.last_message(postroom_database_url))
    kit = (AsyncPostroom if waits else Postroom)(place, since=since)
    try:
        yield kit
    finally:
        kit.close()
