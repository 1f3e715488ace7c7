"""Effects of a Stripe event may refer to it instead of repeating it."""

from __future__ import annotations

from postroom.base.migrate import run_files

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    # Functions only. Runners of before understand no reference: none is written while one is at work.
    run_files("references", "publish")
