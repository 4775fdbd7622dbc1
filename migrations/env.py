"""Alembic's entrance. `reclift migrate` hands the connection over; no alembic.ini is needed."""

from __future__ import annotations

from alembic import context

from reclift.storage.tables import Base

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    compare_type=True,
    render_as_batch=connection.dialect.name == "sqlite",
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
