"""Tokens and publishers within tenants and channels, tokens of tokens, payloads and sessions by name."""

from __future__ import annotations

from postroom.base.migrate import run_files

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    # Processes of before go on: they read the columns that they know, write entries of the trail without a
    # token, and know no limits of a token. Publishers wait for no lock: functions are replaced.
    run_files("hold", "reach", "payload_scope", "publish")
