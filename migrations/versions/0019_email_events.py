"""What becomes of mails after the mail server took them."""

from __future__ import annotations

from postroom.base.migrate import run_files

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    # A new table. Its foreign key makes publishers wait for a moment, for a second at most at a time.
    run_files("hold", "email_events")
