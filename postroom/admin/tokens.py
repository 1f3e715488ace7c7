"""Access tokens: how one looks, what it may do. Only its hash is ever kept."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from postroom.base.errors import InvalidInput

PREFIX: Final = "pr_"
SECRET_BYTES: Final = 20
CHECKSUM_LENGTH: Final = 7
_SHAPE: Final = re.compile(rf"{PREFIX}([a-z2-7]{{32}})([a-z2-7]{{{CHECKSUM_LENGTH}}})")


class Scope(StrEnum):
    """What a token may do."""

    ADMIN_READ = "admin:read"
    OUTBOX_REPLAY = "outbox:replay"
    OUTBOX_CANCEL = "outbox:cancel"
    JOBS_RUN = "jobs:run"
    EVENTS_WRITE = "events:write"
    METRICS_READ = "metrics:read"
    ENDPOINTS_WRITE = "endpoints:write"
    CIRCUITS_WRITE = "circuits:write"
    TOKENS_WRITE = "tokens:write"
    SUPPRESSIONS_WRITE = "suppressions:write"
    ERASURE_WRITE = "erasure:write"


@dataclass(frozen=True, slots=True)
class Token:
    """A token as it is kept: everything but the secret."""

    id: UUID
    name: str
    scopes: frozenset[str]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None

    @property
    def actor(self) -> str:
        """How the audit trail names whoever used it."""
        return f"token:{self.name}"


def generate_token() -> str:
    """A new secret: prefix, 160 random bits, checksum. Shown once, to whoever asked for it."""
    body = base64.b32encode(secrets.token_bytes(SECRET_BYTES)).decode().lower()
    return PREFIX + body + _checksum(body)


def well_formed(text: str) -> bool:
    """Whether it can be a token at all. Catches typing errors without asking the database."""
    found = _SHAPE.fullmatch(text)
    return found is not None and _checksum(found[1]) == found[2]


def hash_token(text: str) -> bytes:
    """SHA-256; enough without salt, because the secret is 160 random bits."""
    return hashlib.sha256(text.encode()).digest()


def parse_scopes(names: Iterable[str]) -> tuple[Scope, ...]:
    """Scopes by name, each once. Errors: `InvalidInput` naming the known ones."""
    known = {scope.value: scope for scope in Scope}
    chosen: dict[Scope, None] = {}
    for name in names:
        if name not in known:
            raise InvalidInput(f"unknown scope {name[:50]!r}; known: {', '.join(known)}", field="scopes")
        chosen[known[name]] = None
    if not chosen:
        raise InvalidInput(f"a token needs at least one scope of {', '.join(known)}", field="scopes")
    return tuple(chosen)


def _checksum(body: str) -> str:
    check = zlib.crc32((PREFIX + body).encode()).to_bytes(4, "big")
    return base64.b32encode(check).decode().lower().rstrip("=")
