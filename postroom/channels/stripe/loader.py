"""Loads what events cause, once, at start."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from postroom.base.errors import SettingsInvalid
from postroom.channels.stripe.effects import Effects
from postroom.channels.stripe.handlers import Registry, handlers_in
from postroom.channels.stripe.routes import Routes
from postroom.channels.stripe.routes_file import Checks, load_routes


def load_effects(*, routes: Path | None, code: Sequence[ModuleType], checks: Checks) -> Effects:
    """`code`: modules with handlers. `checks`: what each channel would refuse of a route.

    Errors: `SettingsInvalid` with the faults of all of them.
    """
    faults: list[str] = []
    loaded_routes, loaded_handlers = Routes(), Registry()
    try:
        if routes is not None:
            loaded_routes = load_routes(routes, checks)
    except SettingsInvalid as error:
        faults += error.faults
    try:
        loaded_handlers = handlers_in(code)
    except SettingsInvalid as error:
        faults += error.faults
    if faults:
        raise SettingsInvalid(faults)
    return Effects(loaded_routes, loaded_handlers)
