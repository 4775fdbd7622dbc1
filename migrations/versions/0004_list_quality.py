"""novelty and diversity of lists, and what novelty is made of

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "item_novelty",
        sa.Column("item_id", sa.String(length=200), nullable=False),
        sa.Column("bits", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("item_id", name=op.f("pk_item_novelty")),
    )
    op.add_column("impressions", sa.Column("novelty", sa.Float(), nullable=True))
    op.add_column("impressions", sa.Column("diversity", sa.Float(), nullable=True))


def downgrade() -> None:
    op.drop_column("impressions", "diversity")
    op.drop_column("impressions", "novelty")
    op.drop_table("item_novelty")
