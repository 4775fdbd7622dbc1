"""What was computed: units' totals, reports, models, and runs of jobs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, CheckConstraint, Index, PrimaryKeyConstraint, String, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from reclift.storage.tables.base import Base

# Not JSON's null: most totals have none.
_Sample = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


class ExperimentUnit(Base):
    """A unit in an experiment's phase: the arm it met first, when, and how much it was shown."""

    __tablename__ = "experiment_units"
    experiment: Mapped[str] = mapped_column(String(64), primary_key=True)
    phase: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    unit_id: Mapped[str] = mapped_column(String(200), primary_key=True)
    arm: Mapped[str] = mapped_column(String(64))
    exposed_at: Mapped[int] = mapped_column(BigInteger)
    day: Mapped[int]
    arms_seen: Mapped[int]
    impressions: Mapped[int] = mapped_column(default=0)
    attributes: Mapped[dict[str, Any]] = mapped_column(default=dict)
    __table_args__ = (Index(None, "unit_id"),)


class UnitTotal(Base):
    """One metric of one unit: numerator and denominator after exposure, and the same before it (for CUPED).

    `arm` is the one that the unit met, empty where it met several and is left out of reports. Units without any row
    have zero everywhere. Nothing is capped here: caps are applied when arms are summed. `sample` has the single values
    of metrics that are read as quantiles, and the different items that a unit was shown, of coverage.

    The key's index has all that is summed, in the order of arms: an arm's sums are one scan of it.
    """

    __tablename__ = "unit_totals"
    experiment: Mapped[str] = mapped_column(String(64))
    phase: Mapped[int] = mapped_column(autoincrement=False)
    metric: Mapped[str] = mapped_column(String(64))
    arm: Mapped[str] = mapped_column(String(64))
    unit_id: Mapped[str] = mapped_column(String(200))
    numerator: Mapped[float]
    denominator: Mapped[float]
    pre_numerator: Mapped[float] = mapped_column(default=0.0)
    pre_denominator: Mapped[float] = mapped_column(default=0.0)
    sample: Mapped[list[Any] | None] = mapped_column(_Sample)
    __table_args__ = (
        PrimaryKeyConstraint(
            "experiment", "phase", "metric", "arm", "unit_id",
            postgresql_include=["numerator", "denominator", "pre_numerator", "pre_denominator"],
        ),
        Index(None, "unit_id"),
        {"sqlite_with_rowid": False},
    )  # fmt: skip


class UnitDay(Base):
    """What one unit added to one metric on one day (days since 1970, UTC): the source of lifts over time."""

    __tablename__ = "unit_days"
    experiment: Mapped[str] = mapped_column(String(64), primary_key=True)
    phase: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    metric: Mapped[str] = mapped_column(String(64), primary_key=True)
    unit_id: Mapped[str] = mapped_column(String(200), primary_key=True)
    day: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    numerator: Mapped[float]
    denominator: Mapped[float]
    __table_args__ = (Index(None, "unit_id"),)


class PositionTotal(Base):
    """How often a unit was shown something at a position, and clicked it there."""

    __tablename__ = "unit_positions"
    experiment: Mapped[str] = mapped_column(String(64), primary_key=True)
    phase: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    unit_id: Mapped[str] = mapped_column(String(200), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    impressions: Mapped[int]
    clicks: Mapped[int]
    __table_args__ = (Index(None, "unit_id"),)


class ReportRow(Base):
    """A computed report, whole, as the API gives it."""

    __tablename__ = "reports"
    id: Mapped[int] = mapped_column(primary_key=True)
    experiment: Mapped[str] = mapped_column(String(64))
    phase: Mapped[int]
    computed_at: Mapped[datetime]
    body: Mapped[dict[str, Any]]
    __table_args__ = (Index(None, "experiment", "computed_at"),)


class ModelRow(Base):
    """One trained version of a strategy with given parameters. `fingerprint` identifies the parameters.

    `alive_at`: while it is being trained, when its worker last said so.
    """

    __tablename__ = "models"
    id: Mapped[int] = mapped_column(primary_key=True)
    strategy: Mapped[str] = mapped_column(String(64))
    version: Mapped[int]
    params: Mapped[dict[str, Any]]
    fingerprint: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16))
    active: Mapped[bool] = mapped_column(default=False)
    artifact: Mapped[str | None]
    size_bytes: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[datetime]
    alive_at: Mapped[datetime | None]
    trained_at: Mapped[datetime | None]
    seconds: Mapped[float | None]
    data_until: Mapped[datetime | None]
    users: Mapped[int | None]
    items: Mapped[int | None]
    interactions: Mapped[int | None]
    metrics: Mapped[dict[str, Any]] = mapped_column(default=dict)
    error: Mapped[str | None]
    __table_args__ = (
        UniqueConstraint("strategy", "version"),
        Index(None, "strategy", "fingerprint"),
        CheckConstraint("state IN ('training', 'ready', 'rejected', 'failed', 'removed')", name="state_known"),
    )


class EvaluationRow(Base):
    """A computed offline evaluation, whole."""

    __tablename__ = "evaluations"
    id: Mapped[int] = mapped_column(primary_key=True)
    computed_at: Mapped[datetime]
    body: Mapped[dict[str, Any]]


class JobRun(Base):
    """One run of a job: what, when, how long, and what failed and why.

    `attempts` counts how often a worker took it (0: scheduled work, which no message asked for). `alive_at` is the last
    sign of life: when its worker last said that it works on it, or when its message was last sent.
    """

    __tablename__ = "job_runs"
    id: Mapped[int] = mapped_column(primary_key=True)
    task: Mapped[str] = mapped_column(String(64))
    arguments: Mapped[dict[str, Any]] = mapped_column(default=dict)
    state: Mapped[str] = mapped_column(String(16))
    actor: Mapped[str] = mapped_column(String(254), default="")
    queued_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    alive_at: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(default=0)
    progress: Mapped[float] = mapped_column(default=0.0)
    message: Mapped[str] = mapped_column(default="")
    error: Mapped[str | None]
    __table_args__ = (
        Index(None, "task", "state"),
        CheckConstraint("state IN ('queued', 'running', 'done', 'failed')", name="state_known"),
    )


class JobLock(Base):
    """One-at-a-time: who holds a name, until when. A lock past its time may be taken over."""

    __tablename__ = "job_locks"
    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    holder: Mapped[str] = mapped_column(String(100))
    until: Mapped[datetime]
