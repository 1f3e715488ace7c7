"""Ages, urgency, limits, fairness, pauses, recovery, keys by tenant, references, notes of claims."""

from __future__ import annotations

from postroom.base.migrate import run_files

revision = "0006"
down_revision = "0005"

CREATES = ("message_scoped_key",)
DROPS = ("message_key",)


def upgrade() -> None:
    # What is new, and what may wait for others, comes before `hold_ledger`: what that locks is locked until
    # the end.
    run_files("channels", "references", "keys", "history", "compression", "limits")
    run_files(
        "hold", "hold_ledger", "attempts", "expiry", "claims", "urgency", "tenants", "recovery", "publish"
    )
    # Beside it, publishers and runners of before go on. New parameters of `publish` come last and have
    # defaults. Runners of before deliver what is paused or limited, leave what is urgent or bulk to those
    # that know of it, write down no starts, and no reference is written while one of them is at work.
