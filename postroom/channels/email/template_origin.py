"""What a mail was rendered from, as a person is told it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from postroom.base.db import Connection
from postroom.channels.email.template import TemplateFailed, TemplateFolders
from postroom.channels.email.template_store import content_hashes, fetch_template, shown
from postroom.encryption.keyring import Keyring


class TemplateState(StrEnum):
    """How the template of today stands to the version of a mail."""

    SAME = "same"
    CHANGED = "changed"
    REMOVED = "removed"
    NOT_KEPT = "not_kept"


_SENTENCES = {
    TemplateState.SAME: "as it is now",
    TemplateState.CHANGED: "changed since: retries and replays send what it was, unless asked for afresh",
    TemplateState.REMOVED: "removed since: retries and replays send what it was",
    TemplateState.NOT_KEPT: "not kept any more: it can be sent again only afresh",
}


@dataclass(frozen=True, slots=True)
class TemplateOrigin:
    """`version`: how the attempts' hash begins. `template` and `since` (its first use): None if not kept."""

    version: str
    template: str | None
    since: datetime | None
    state: TemplateState

    @property
    def sentence(self) -> str:
        since = f", first used {self.since.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if self.since else ""
        return f"Template {self.template or '?'}, version {self.version}{since}; {_SENTENCES[self.state]}"


async def fetch_origin(
    conn: Connection, content_hash: bytes | None, *, keyring: Keyring, folders: TemplateFolders
) -> TemplateOrigin | None:
    """None for what was never rendered. Reads the template's files, and renders nothing."""
    if content_hash is None:
        return None
    kept = await fetch_template(conn, content_hash, keyring)
    if kept is None:
        return TemplateOrigin(shown(content_hash), None, None, TemplateState.NOT_KEPT)
    try:
        current = await asyncio.to_thread(folders.read, kept.name)  # a large one takes a while to parse
    except TemplateFailed:
        state = TemplateState.REMOVED
    else:
        is_same = content_hash in content_hashes(current.files, keyring)
        state = TemplateState.SAME if is_same else TemplateState.CHANGED
    return TemplateOrigin(shown(content_hash), kept.name, kept.since, state)
