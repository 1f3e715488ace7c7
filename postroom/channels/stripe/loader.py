"""Loads what events cause, once, at start."""

from __future__ import annotations

from pathlib import Path

from postroom.base.errors import SettingsInvalid
from postroom.channels.stripe.effects import Effects
from postroom.channels.stripe.handlers import Registry, load_handlers
from postroom.channels.stripe.routes import Routes
from postroom.channels.stripe.routes_file import Checks, load_routes


def load_effects(*, routes: Path | None, handlers: Path | None, checks: Checks) -> Effects:
    """`checks`: what each channel would refuse of a route.

    Errors: `SettingsInvalid` with the faults of both files.
    """
    faults: list[str] = []
    loaded_routes, loaded_handlers = Routes(), Registry()
    try:
        if routes is not None:
            loaded_routes = load_routes(routes, checks)
    except SettingsInvalid as error:
        faults += error.faults
    try:
        if handlers is not None:
            loaded_handlers = load_handlers(handlers)
    except SettingsInvalid as error:
        faults += error.faults
    if faults:
        raise SettingsInvalid(faults)
    return Effects(loaded_routes, loaded_handlers)
