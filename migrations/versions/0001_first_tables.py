"""first tables

Revision ID: 0001
Revises:
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

Time = sa.DateTime(timezone=True)
Json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("password_hash", sa.String(), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("disabled_at", Time, nullable=True),
        sa.CheckConstraint("role IN ('manager', 'viewer')", name=op.f("ck_accounts_role_known")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
        sa.UniqueConstraint("email", name=op.f("uq_accounts_email")),
    )
    op.create_table(
        "aliases",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("alias", sa.String(length=200), nullable=False),
        sa.Column("unit_id", sa.String(length=200), nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_aliases")),
        sa.UniqueConstraint("alias", name=op.f("uq_aliases_alias")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_aliases_unit_id", "aliases", ["unit_id"], unique=False)

    op.create_table(
        "api_keys",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("prefix", sa.String(length=16), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("scopes", Json, nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("created_by", sa.String(length=254), nullable=False),
        sa.Column("revoked_at", Time, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("digest", name=op.f("uq_api_keys_digest")),
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", Time, nullable=False),
        sa.Column("actor", sa.String(length=254), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("subject", sa.String(length=254), nullable=False),
        sa.Column("before", Json, nullable=True),
        sa.Column("after", Json, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    op.create_index("ix_audit_kind_subject", "audit", ["kind", "subject"], unique=False)

    op.create_table(
        "configuration",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("catalogue_version", sa.Integer(), nullable=False),
        sa.Column("aliases_version", sa.Integer(), nullable=False),
        sa.Column("changed_at", Time, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_configuration")),
    )
    op.create_table(
        "dead_letters",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.String(length=32), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("unit_id", sa.String(length=200), nullable=True),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dead_letters")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_dead_letters_unit_id", "dead_letters", ["unit_id"], unique=False)

    op.create_table(
        "dirty_units",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("unit_id", sa.String(length=200), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dirty_units")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_dirty_units_unit_id", "dirty_units", ["unit_id"], unique=False)

    op.create_table(
        "evaluations",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("computed_at", Time, nullable=False),
        sa.Column("body", Json, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evaluations")),
    )
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
        sa.Column("properties", Json, nullable=False),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_events")),
    )
    op.create_index("ix_events_at", "events", ["at"], unique=False)
    op.create_index("ix_events_unit_id_at", "events", ["unit_id", "at"], unique=False)

    op.create_table(
        "experiment_units",
        sa.Column("experiment", sa.String(length=64), nullable=False),
        sa.Column("phase", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("unit_id", sa.String(length=200), nullable=False),
        sa.Column("arm", sa.String(length=64), nullable=False),
        sa.Column("exposed_at", sa.BigInteger(), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("arms_seen", sa.Integer(), nullable=False),
        sa.Column("impressions", sa.Integer(), nullable=False),
        sa.Column("attributes", Json, nullable=False),
        sa.PrimaryKeyConstraint("experiment", "phase", "unit_id", name=op.f("pk_experiment_units")),
    )
    op.create_index("ix_experiment_units_unit_id", "experiment_units", ["unit_id"], unique=False)

    op.create_table(
        "exposures",
        sa.Column("experiment", sa.String(length=64), nullable=False),
        sa.Column("phase", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("unit_id", sa.String(length=200), nullable=False),
        sa.Column("arm", sa.String(length=64), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("attributes", Json, nullable=False),
        sa.PrimaryKeyConstraint("experiment", "phase", "unit_id", "arm", name=op.f("pk_exposures")),
    )
    op.create_index("ix_exposures_unit_id", "exposures", ["unit_id"], unique=False)

    op.create_table(
        "impressions",
        sa.Column("recommendation_id", sa.String(length=200), nullable=False),
        sa.Column("unit_id", sa.String(length=200), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("placement", sa.String(length=64), nullable=False),
        sa.Column("experiment", sa.String(length=64), nullable=True),
        sa.Column("phase", sa.Integer(), nullable=True),
        sa.Column("arm", sa.String(length=64), nullable=True),
        sa.Column("strategy", sa.String(length=64), nullable=False),
        sa.Column("model", sa.String(length=100), nullable=True),
        sa.Column("fallback", Json, nullable=True),
        sa.Column("latency_ms", sa.Float(), nullable=True),
        sa.Column("items", Json, nullable=False),
        sa.PrimaryKeyConstraint("recommendation_id", name=op.f("pk_impressions")),
    )
    op.create_index("ix_impressions_experiment_phase_at", "impressions", ["experiment", "phase", "at"], unique=False)
    op.create_index("ix_impressions_unit_id_at", "impressions", ["unit_id", "at"], unique=False)

    op.create_table(
        "items",
        sa.Column("item_id", sa.String(length=200), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("category", sa.String(length=200), nullable=True),
        sa.Column("price", sa.Double(), nullable=True),
        sa.Column("image_url", sa.String(), nullable=True),
        sa.Column("available", sa.Boolean(), nullable=False),
        sa.Column("attributes", Json, nullable=False),
        sa.Column("updated_at", Time, nullable=False),
        sa.PrimaryKeyConstraint("item_id", name=op.f("pk_items")),
    )
    op.create_index("ix_items_category", "items", ["category"], unique=False)
    op.create_index("ix_items_unavailable", "items", ["available"], unique=False)

    op.create_table(
        "job_locks",
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("holder", sa.String(length=100), nullable=False),
        sa.Column("until", Time, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_job_locks")),
    )
    op.create_table(
        "job_runs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("task", sa.String(length=64), nullable=False),
        sa.Column("arguments", Json, nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("actor", sa.String(length=254), nullable=False),
        sa.Column("queued_at", Time, nullable=False),
        sa.Column("started_at", Time, nullable=True),
        sa.Column("finished_at", Time, nullable=True),
        sa.Column("alive_at", Time, nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("progress", sa.Double(), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("error", sa.String(), nullable=True),
        sa.CheckConstraint("state IN ('queued', 'running', 'done', 'failed')", name=op.f("ck_job_runs_state_known")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job_runs")),
    )
    op.create_index("ix_job_runs_task_state", "job_runs", ["task", "state"], unique=False)

    op.create_table(
        "metrics",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("definition", Json, nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("updated_at", Time, nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_metrics")),
    )
    op.create_table(
        "models",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("strategy", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("params", Json, nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("artifact", sa.String(), nullable=True),
        sa.Column("size_bytes", sa.BigInteger(), nullable=True),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("alive_at", Time, nullable=True),
        sa.Column("trained_at", Time, nullable=True),
        sa.Column("seconds", sa.Double(), nullable=True),
        sa.Column("data_until", Time, nullable=True),
        sa.Column("users", sa.Integer(), nullable=True),
        sa.Column("items", sa.Integer(), nullable=True),
        sa.Column("interactions", sa.Integer(), nullable=True),
        sa.Column("metrics", Json, nullable=False),
        sa.Column("error", sa.String(), nullable=True),
        sa.CheckConstraint(
            "state IN ('training', 'ready', 'rejected', 'failed', 'removed')", name=op.f("ck_models_state_known")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_models")),
        sa.UniqueConstraint("strategy", "version", name=op.f("uq_models_strategy_version")),
    )
    op.create_index("ix_models_strategy_fingerprint", "models", ["strategy", "fingerprint"], unique=False)

    op.create_table(
        "new_items",
        sa.Column("item_id", sa.String(length=200), nullable=False),
        sa.Column("met", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("item_id", name=op.f("pk_new_items")),
    )
    op.create_table(
        "placements",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("strategy", sa.String(length=64), nullable=False),
        sa.Column("params", Json, nullable=False),
        sa.Column("fallback", Json, nullable=False),
        sa.Column("settings", Json, nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("updated_at", Time, nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_placements")),
    )
    op.create_table(
        "profiles",
        sa.Column("unit_id", sa.String(length=200), nullable=False),
        sa.Column("attributes", Json, nullable=False),
        sa.Column("updated_at", Time, nullable=False),
        sa.PrimaryKeyConstraint("unit_id", name=op.f("pk_profiles")),
    )
    op.create_table(
        "reports",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("experiment", sa.String(length=64), nullable=False),
        sa.Column("phase", sa.Integer(), nullable=False),
        sa.Column("computed_at", Time, nullable=False),
        sa.Column("body", Json, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reports")),
    )
    op.create_index("ix_reports_experiment_computed_at", "reports", ["experiment", "computed_at"], unique=False)

    op.create_table(
        "saved_groups",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("definition", Json, nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("updated_at", Time, nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_saved_groups")),
    )
    op.create_table(
        "unit_days",
        sa.Column("experiment", sa.String(length=64), nullable=False),
        sa.Column("phase", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("metric", sa.String(length=64), nullable=False),
        sa.Column("unit_id", sa.String(length=200), nullable=False),
        sa.Column("day", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("numerator", sa.Double(), nullable=False),
        sa.Column("denominator", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("experiment", "phase", "metric", "unit_id", "day", name=op.f("pk_unit_days")),
    )
    op.create_index("ix_unit_days_unit_id", "unit_days", ["unit_id"], unique=False)

    op.create_table(
        "unit_positions",
        sa.Column("experiment", sa.String(length=64), nullable=False),
        sa.Column("phase", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("unit_id", sa.String(length=200), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("impressions", sa.Integer(), nullable=False),
        sa.Column("clicks", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("experiment", "phase", "unit_id", "position", name=op.f("pk_unit_positions")),
    )
    op.create_index("ix_unit_positions_unit_id", "unit_positions", ["unit_id"], unique=False)

    op.create_table(
        "unit_totals",
        sa.Column("experiment", sa.String(length=64), nullable=False),
        sa.Column("phase", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("metric", sa.String(length=64), nullable=False),
        sa.Column("unit_id", sa.String(length=200), nullable=False),
        sa.Column("numerator", sa.Double(), nullable=False),
        sa.Column("denominator", sa.Double(), nullable=False),
        sa.Column("pre_numerator", sa.Double(), nullable=False),
        sa.Column("pre_denominator", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("experiment", "phase", "metric", "unit_id", name=op.f("pk_unit_totals")),
    )
    op.create_index("ix_unit_totals_unit_id", "unit_totals", ["unit_id"], unique=False)

    op.create_table(
        "experiments",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("hypothesis", sa.String(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("placement", sa.String(length=64), nullable=True),
        sa.Column("layer", sa.String(length=64), nullable=True),
        sa.Column("slot_start", sa.Double(), nullable=True),
        sa.Column("slot_end", sa.Double(), nullable=True),
        sa.Column("traffic", sa.Double(), nullable=False),
        sa.Column("audience", Json, nullable=False),
        sa.Column("exclude", Json, nullable=False),
        sa.Column("overrides", Json, nullable=False),
        sa.Column("sticky", sa.Boolean(), nullable=False),
        sa.Column("metrics", Json, nullable=False),
        sa.Column("data", Json, nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("phase", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("updated_at", Time, nullable=False),
        sa.Column("started_at", Time, nullable=True),
        sa.Column("stopped_at", Time, nullable=True),
        sa.Column("settled_at", Time, nullable=True),
        sa.CheckConstraint(
            "status IN ('draft', 'running', 'paused', 'stopped', 'archived')", name=op.f("ck_experiments_status_known")
        ),
        sa.CheckConstraint("traffic >= 0 AND traffic <= 1", name=op.f("ck_experiments_traffic_is_a_share")),
        sa.ForeignKeyConstraint(["placement"], ["placements.key"], name=op.f("fk_experiments_placement")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_experiments")),
        sa.UniqueConstraint("key", name=op.f("uq_experiments_key")),
    )
    op.create_index("ix_experiments_placement", "experiments", ["placement"], unique=False)
    op.create_index("ix_experiments_status", "experiments", ["status"], unique=False)

    op.create_table(
        "arms",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("experiment_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("strategy", sa.String(length=64), nullable=False),
        sa.Column("params", Json, nullable=False),
        sa.Column("weight", sa.Double(), nullable=False),
        sa.Column("control", sa.Boolean(), nullable=False),
        sa.Column("model", sa.Integer(), nullable=True),
        sa.Column("rerank", Json, nullable=True),
        sa.CheckConstraint("weight > 0", name=op.f("ck_arms_weight_positive")),
        sa.ForeignKeyConstraint(
            ["experiment_id"], ["experiments.id"], name=op.f("fk_arms_experiment_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_arms")),
        sa.UniqueConstraint("experiment_id", "key", name=op.f("uq_arms_experiment_id_key")),
    )


def downgrade() -> None:
    op.drop_table("arms")
    op.drop_index("ix_experiments_status", table_name="experiments")
    op.drop_index("ix_experiments_placement", table_name="experiments")

    op.drop_table("experiments")
    op.drop_index("ix_unit_totals_unit_id", table_name="unit_totals")

    op.drop_table("unit_totals")
    op.drop_index("ix_unit_positions_unit_id", table_name="unit_positions")

    op.drop_table("unit_positions")
    op.drop_index("ix_unit_days_unit_id", table_name="unit_days")

    op.drop_table("unit_days")
    op.drop_table("saved_groups")
    op.drop_index("ix_reports_experiment_computed_at", table_name="reports")

    op.drop_table("reports")
    op.drop_table("profiles")
    op.drop_table("placements")
    op.drop_table("new_items")
    op.drop_index("ix_models_strategy_fingerprint", table_name="models")

    op.drop_table("models")
    op.drop_table("metrics")
    op.drop_index("ix_job_runs_task_state", table_name="job_runs")

    op.drop_table("job_runs")
    op.drop_table("job_locks")
    op.drop_index("ix_items_unavailable", table_name="items")
    op.drop_index("ix_items_category", table_name="items")

    op.drop_table("items")
    op.drop_index("ix_impressions_unit_id_at", table_name="impressions")
    op.drop_index("ix_impressions_experiment_phase_at", table_name="impressions")

    op.drop_table("impressions")
    op.drop_index("ix_exposures_unit_id", table_name="exposures")

    op.drop_table("exposures")
    op.drop_index("ix_experiment_units_unit_id", table_name="experiment_units")

    op.drop_table("experiment_units")
    op.drop_index("ix_events_unit_id_at", table_name="events")
    op.drop_index("ix_events_at", table_name="events")

    op.drop_table("events")
    op.drop_table("evaluations")
    op.drop_index("ix_dirty_units_unit_id", table_name="dirty_units")

    op.drop_table("dirty_units")
    op.drop_index("ix_dead_letters_unit_id", table_name="dead_letters")

    op.drop_table("dead_letters")
    op.drop_table("configuration")
    op.drop_index("ix_audit_kind_subject", table_name="audit")

    op.drop_table("audit")
    op.drop_table("api_keys")
    op.drop_index("ix_aliases_unit_id", table_name="aliases")

    op.drop_table("aliases")
    op.drop_table("accounts")
