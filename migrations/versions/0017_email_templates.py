"""What mails were rendered from is kept, so that a retry sends the same although a template was edited."""

from __future__ import annotations

from postroom.base.migrate import run_files

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    # Processes of before go on: they know nothing of the columns, and what they try first is fixed by nobody.
    run_files("hold", "email_templates")
