"""arm of totals: a report's sums are one scan of one index

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# The arm of the totals' unit, empty where it met several. Totals always have their unit.
_FILL_NEW = """
INSERT INTO unit_totals
  (experiment, phase, metric, arm, unit_id, numerator, denominator, pre_numerator, pre_denominator)
SELECT t.experiment, t.phase, t.metric, CASE WHEN u.arms_seen = 1 THEN u.arm ELSE '' END, t.unit_id,
  t.numerator, t.denominator, t.pre_numerator, t.pre_denominator
FROM old_totals AS t
LEFT JOIN experiment_units AS u ON u.experiment = t.experiment AND u.phase = t.phase AND u.unit_id = t.unit_id
ORDER BY 1, 2, 3, 4, 5
"""
_FILL_COLUMN = """
UPDATE unit_totals AS t SET arm = u.arm FROM experiment_units AS u
WHERE u.experiment = t.experiment AND u.phase = t.phase AND u.unit_id = t.unit_id AND u.arms_seen = 1
"""
_KEY = """
ALTER TABLE unit_totals ADD CONSTRAINT pk_unit_totals PRIMARY KEY (experiment, phase, metric, arm, unit_id)
INCLUDE (numerator, denominator, pre_numerator, pre_denominator)
"""
_FILL_OLD = """
INSERT INTO unit_totals
  (experiment, phase, metric, unit_id, numerator, denominator, pre_numerator, pre_denominator)
SELECT experiment, phase, metric, unit_id, numerator, denominator, pre_numerator, pre_denominator FROM new_totals
"""


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.rename_table("unit_totals", "old_totals")
        op.drop_index("ix_unit_totals_unit_id", table_name="old_totals")
        _make(arm=True)
        op.execute(_FILL_NEW)
        op.drop_table("old_totals")
        return
    op.add_column("unit_totals", sa.Column("arm", sa.String(length=64), server_default="", nullable=False))
    op.execute(_FILL_COLUMN)
    op.alter_column("unit_totals", "arm", server_default=None)
    op.drop_constraint("pk_unit_totals", "unit_totals")
    op.execute(_KEY)


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.rename_table("unit_totals", "new_totals")
        op.drop_index("ix_unit_totals_unit_id", table_name="new_totals")
        _make(arm=False)
        op.execute(_FILL_OLD)
        op.drop_table("new_totals")
        return
    op.drop_constraint("pk_unit_totals", "unit_totals")
    op.create_primary_key("pk_unit_totals", "unit_totals", ["experiment", "phase", "metric", "unit_id"])
    op.drop_column("unit_totals", "arm")


def _make(*, arm: bool) -> None:
    """SQLite's table; with the arm it is its own index (WITHOUT ROWID), in the order in which it is added up."""
    key = ["experiment", "phase", "metric", *(["arm"] if arm else []), "unit_id"]
    op.create_table(
        "unit_totals",
        sa.Column("experiment", sa.String(length=64), nullable=False),
        sa.Column("phase", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("metric", sa.String(length=64), nullable=False),
        *([sa.Column("arm", sa.String(length=64), nullable=False)] if arm else []),
        sa.Column("unit_id", sa.String(length=200), nullable=False),
        sa.Column("numerator", sa.Double(), nullable=False),
        sa.Column("denominator", sa.Double(), nullable=False),
        sa.Column("pre_numerator", sa.Double(), nullable=False),
        sa.Column("pre_denominator", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint(*key, name=op.f("pk_unit_totals")),
        sqlite_with_rowid=not arm,
    )
    op.create_index("ix_unit_totals_unit_id", "unit_totals", ["unit_id"], unique=False)
