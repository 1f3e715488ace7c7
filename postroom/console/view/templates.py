"""Templates to pages. Everything is escaped; a value that is missing is a fault, not a gap."""

from __future__ import annotations

import hashlib
from importlib import resources
from importlib.metadata import version
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from postroom.admin.tokens import Scope
from postroom.console.view import filters
from postroom.outbox.model import Cause, Channel

STATIC: Final = {
    "console.css": "text/css; charset=utf-8",
    "console.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
NAVIGATION: Final = (
    ("overview", "Overview", "/console"),
    ("messages", "Messages", "/console/messages"),
    ("dead-letters", "Dead letters", "/console/dead-letters"),
    ("stripe", "Stripe", "/console/stripe"),
    ("webhooks", "Webhooks", "/console/webhooks"),
    ("exports", "Exports", "/console/exports"),
    ("tasks", "Tasks", "/console/tasks"),
    ("jobs", "Jobs", "/console/jobs"),
    ("circuits", "Circuits", "/console/circuits"),
    ("channels", "Channels", "/console/channels"),
    ("templates", "Templates", "/console/templates"),
    ("settings", "Settings", "/console/settings"),
    ("tokens", "Tokens", "/console/tokens"),
    ("audit", "Audit", "/console/audit"),
)
REACHED_BY_ALL: Final = ("messages", "dead-letters", "webhooks", "tokens")
"""What is there for whoever is limited to some tenants or channels, too."""


def static_files() -> dict[str, bytes]:
    folder = resources.files("postroom.console").joinpath("static")
    return {name: folder.joinpath(name).read_bytes() for name in STATIC}


def make_environment(files: dict[str, bytes]) -> Environment:
    """The templates with their filters. A file's address names its content, so browsers may keep it."""
    environment = Environment(
        loader=PackageLoader("postroom.console", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in (
        "ago",
        "exact_time",
        "span",
        "milliseconds",
        "count",
        "rate",
        "visible",
        "breakable",
        "pretty",
        "short",
    ):
        environment.filters[name] = getattr(filters, name)
    versions = {name: hashlib.sha256(content).hexdigest()[:12] for name, content in files.items()}
    environment.globals.update(
        navigation=NAVIGATION,
        reached_by_all=REACHED_BY_ALL,
        url_query=filters.url_query,
        static=lambda name: f"/console/static/{versions[name]}/{name}",
        Scope=Scope,
        channels=tuple(channel.value for channel in Channel),
        causes=tuple(cause.value for cause in Cause),
        version=version("postroom"),
    )
    return environment


def render(environment: Environment, template: str, values: dict[str, Any]) -> str:
    return environment.get_template(template).render(values)
