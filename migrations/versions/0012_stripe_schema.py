"""The schema `stripe`: what the mirror has of Stripe's objects, for people and reports."""

from __future__ import annotations

from postroom.base.migrate import run_files

revision = "0012"
down_revision = "0011"

CREATES = ("stripe_object_type_id",)
DROPS = ("stripe_object_type",)


def upgrade() -> None:
    # A schema of its own, and nothing in it that a process of before writes to. Its views are made by each
    # `postroom migrate`, as the grants are. What 0015 to 0019 lock is held from here on, all at once.
    run_files("hold", "hold_ledger", "stripe_schema")
