"""Ages, urgency, pauses, keys by tenant, payloads by reference, and accounts of what was claimed."""

from __future__ import annotations

from postroom.base.migrate import run_files

revision = "0006"
down_revision = "0005"

CREATES = ("message_scoped_key",)
DROPS = ("message_key",)


def upgrade() -> None:
    # What is new, and what may wait for others, comes before `hold`: what that locks is locked until the end.
    run_files("channels", "references", "keys", "history", "compression")
    run_files("hold", "attempts", "expiry", "claims", "urgency", "publish")
    # Beside it, publishers and runners of before go on. New parameters of `publish` come last and have
    # defaults. Runners of before deliver what is paused, leave what is urgent or bulk to those that know of
    # it, write down no starts, and no reference is written while one of them is at work.
