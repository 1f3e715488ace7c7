"""What a process does without owning anything: functions of the owner, and views without payloads."""

from __future__ import annotations

from postroom.base.migrate import run_files

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    # Functions that are replaced, views that are new, one column of a small table. Runners of before go on.
    run_files("partitions", "audit", "reading", "worker_roles")
