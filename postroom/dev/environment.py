"""Where the processes of `postroom up` listen, and the settings they are given."""

from __future__ import annotations

import base64
import os
import secrets
import shlex
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from postroom.base.errors import Conflict
from postroom.base.listener import PortTaken, listen
from postroom.base.operator_code import is_file
from postroom.base.setting_files import setting_of
from postroom.base.settings import UP_ENVIRONMENT, Settings
from postroom.dev.fake_services import FakeServices

PORTS_TRIED: Final = 50
APPLICATION_URL: Final = "DATABASE_URL"
"""Where the operator's own code signs in, if it reads that: the runner's login has no right to its tables."""
DEMO_ROUTES: Final = Path(__file__).with_name("demo_routes.toml")


def open_listener(settings: Settings) -> socket.socket:
    """Listen on the port that was named, or the next free one above the default.

    It is ours from here on, so that two that start at once never meet on one port.
    Errors: `Conflict` when the named one is taken, or nothing is free.
    """
    named = "port" in settings.model_fields_set
    last = settings.port + (0 if named else PORTS_TRIED)
    for port in range(settings.port, last + 1):
        with suppress(PortTaken):
            return listen(settings.host, port)
    if named:
        raise Conflict(
            f"Port {settings.port} is taken by another program. Name another one in POSTROOM_PORT."
        )
    raise Conflict(f"No port from {settings.port} to {last} is free. Name one in POSTROOM_PORT.")


def stripe_secret(settings: Settings) -> str:
    """The signing secret to send events with: the first one set, or a new one."""
    if settings.stripe.webhook_secrets:
        return settings.stripe.webhook_secrets[0].get_secret_value()
    return "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()


def child_environment(
    settings: Settings, *, dsn: str, port: int, secret: str, fake_services: FakeServices
) -> Mapping[str, str]:
    """Our own environment, completed by what runs here. What somebody has set stays as it is."""
    environment = {
        APPLICATION_URL: dsn,
        **os.environ,
        **absolute_paths(settings),
        "POSTROOM_DATABASE_URL": dsn,
        "POSTROOM_PORT": str(port),
        "POSTROOM_WEBHOOK__ALLOW_PRIVATE": "true",
        "PYTHONUNBUFFERED": "1",
    }
    if not settings.email.all_routes():
        environment["POSTROOM_EMAIL__URL"] = fake_services.mail_url
    if not settings.stripe.webhook_secrets:
        environment["POSTROOM_STRIPE__WEBHOOK_SECRETS"] = secret
    if settings.stripe.api_key is None:
        environment["POSTROOM_STRIPE__API_KEY"] = "sk_test_" + secrets.token_hex(12)
        environment["POSTROOM_STRIPE__API_BASE"] = fake_services.stripe.url
    if "roll_s" not in settings.exports.model_fields_set:
        environment["POSTROOM_EXPORTS__ROLL_S"] = "0"  # somebody is watching
    if settings.routes is None:
        environment["POSTROOM_ROUTES"] = str(DEMO_ROUTES)
    # What is said here is not said by a file or a command, too.
    twice = {name for name in environment if setting_of(name) in environment.keys() - {name}}
    return {name: text for name, text in environment.items() if name not in twice}


def absolute_paths(settings: Settings) -> dict[str, str]:
    """The settings that name a file or folder, for processes and terminals that stand elsewhere."""
    named = {
        "STATE_DIR": settings.state_dir,
        "ROUTES": settings.routes,
        "EMAIL__TEMPLATES_DIR": settings.email.templates_dir,
        "EMAIL__TLS_CA": settings.email.tls_ca,
        "WEBHOOK__BROKERS_CA": settings.webhook.brokers_ca,
    }
    texts = {f"POSTROOM_{name}": str(path.absolute()) for name, path in named.items() if path is not None}
    if settings.handlers:
        places = (str(Path(place).absolute()) if is_file(place) else place for place in settings.handlers)
        texts["POSTROOM_HANDLERS"] = ",".join(places)
    return texts


@contextmanager
def kept_for_shells(environment: Mapping[str, str], state_dir: Path) -> Iterator[Path]:
    """While it lasts, a file that gives a second terminal the settings of these processes.

    Readable by its owner only: it may hold passwords. Left behind by a `kill -9`, it says so when it is read.
    """
    path = state_dir / UP_ENVIRONMENT
    path.unlink(missing_ok=True)
    told = f"postroom up (pid {os.getpid()}) runs no longer; these settings lead nowhere"
    lines = [f"kill -0 {os.getpid()} 2>/dev/null || echo {shlex.quote(told)} >&2\n"]
    lines += [
        f"{name}={shlex.quote(value)}\n"
        for name, value in sorted(environment.items())
        if name.startswith("POSTROOM_") or name == APPLICATION_URL
    ]
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.writelines(lines)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
