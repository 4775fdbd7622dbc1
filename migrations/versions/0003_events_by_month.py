"""events in partitions by month on PostgreSQL, with their ids in a table of their own; tombstones of erased people

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_BEHIND = "recommendation_id IS NOT NULL AND at < received_at - 43200000000"
_MONTHS_AHEAD = 3
_WORTH = 10_000
"""A past month with fewer events stays in the partition for the rest."""
_NAMES = "event_id, type, unit_id, item_id, recommendation_id, value, at, client_at, received_at, properties"


def upgrade() -> None:
    op.create_table(
        "event_ids",
        sa.Column("event_id", sa.String(length=200), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_event_ids")),
    )
    op.create_table(
        "erasures",
        sa.Column("digest", sa.String(length=32), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_erasures")),
    )
    op.create_index("ix_erasures_at", "erasures", ["at"], unique=False)
    if op.get_bind().dialect.name == "postgresql":
        _drop_indexes()
        op.rename_table("events", "events_plain")
        _create_events()
        op.execute("CREATE TABLE events_default PARTITION OF events DEFAULT")
        for year, month in _months():
            first, last = _start(year, month), _start(year + month // 12, month % 12 + 1)
            op.execute(
                f"CREATE TABLE events_{year}{month:02} PARTITION OF events FOR VALUES FROM ({first}) TO ({last})"
            )
        op.execute(f"INSERT INTO events ({_NAMES}) SELECT {_NAMES} FROM events_plain")  # noqa: S608 (our own names)
        op.execute("INSERT INTO event_ids (event_id, at) SELECT event_id, at FROM events_plain ORDER BY event_id")
        op.drop_table("events_plain")
        _create_indexes()
    where = sa.text(_BEHIND)
    op.create_index("ix_events_behind", "events", ["unit_id"], sqlite_where=where, postgresql_where=where)


def downgrade() -> None:
    op.drop_index("ix_events_behind", "events")
    if op.get_bind().dialect.name == "postgresql":
        _drop_indexes()
        op.rename_table("events", "events_parts")
        _create_events(plain=True)
        op.execute(f"INSERT INTO events ({_NAMES}) SELECT {_NAMES} FROM events_parts")  # noqa: S608 (likewise)
        op.drop_table("events_parts")
        op.create_primary_key("pk_events", "events", ["event_id"])
        _create_indexes()
    op.drop_table("erasures")
    op.drop_table("event_ids")


def _create_events(*, plain: bool = False) -> None:
    op.create_table(
        "events",
        sa.Column("event_id", sa.String(length=200), nullable=False),
        sa.Column("type", sa.String(length=64), nullable=False),
        sa.Column("unit_id", sa.String(length=200), nullable=False),
        sa.Column("item_id", sa.String(length=200), nullable=True),
        sa.Column("recommendation_id", sa.String(length=200), nullable=True),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("client_at", sa.BigInteger(), nullable=True),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("properties", postgresql.JSONB(), nullable=False),
        **({} if plain else {"postgresql_partition_by": "RANGE (at)"}),
    )


def _create_indexes() -> None:
    op.create_index("ix_events_at", "events", ["at"], unique=False)
    op.create_index("ix_events_unit_id_at", "events", ["unit_id", "at"], unique=False)


def _drop_indexes() -> None:
    op.drop_index("ix_events_at", "events")
    op.drop_index("ix_events_unit_id_at", "events")


def _months() -> list[tuple[int, int]]:
    """This month, the next ones, and each earlier one with many events."""
    today = datetime.now(UTC)
    count = today.year * 12 + today.month - 1
    wanted = set(range(count, count + _MONTHS_AHEAD + 1))
    rows = op.get_bind().execute(
        sa.text(
            "SELECT extract(year FROM t), extract(month FROM t) FROM (SELECT to_timestamp(at / 1000000) AT TIME ZONE "
            "'UTC' AS t FROM events_plain WHERE at BETWEEN 0 AND :now) AS times GROUP BY 1, 2 HAVING count(*) >= :worth"
        ),
        {"now": round(today.timestamp() * 1e6), "worth": _WORTH},
    )
    wanted |= {int(year) * 12 + int(month) - 1 for year, month in rows}
    return [(one // 12, one % 12 + 1) for one in sorted(wanted)]


def _start(year: int, month: int) -> int:
    return round(datetime(year, month, 1, tzinfo=UTC).timestamp()) * 1_000_000
