"""Alembic's entry: one asyncpg connection handed over by `postroom.base.migrate`."""

from __future__ import annotations

from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection, version_table_schema="postroom", transaction_per_migration=False)
with context.begin_transaction():
    context.run_migrations()
