"""The mails of the local catcher as files, for a mail program or an editor."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from postroom.dev.mailbox import ReceivedMail

KEPT_MAX: Final = 200
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


class MailFolder:
    """Keeps the newest 200 mails as `.eml`, named by their Message-ID."""

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.path = path

    def keep(self, mail: ReceivedMail) -> None:
        name = _UNSAFE.sub("_", mail.message_id.strip("<>"))[:150]
        (self.path / f"{name}.eml").write_bytes(mail.content)
        oldest_first = sorted(self.path.glob("*.eml"), key=lambda each: each.stat().st_mtime)
        for surplus in oldest_first[:-KEPT_MAX]:
            surplus.unlink()
