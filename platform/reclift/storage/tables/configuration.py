"""What people set up: placements, experiments, arms, metrics, accounts, keys, and who changed what."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from reclift.storage.tables.base import Base


class Configuration(Base):
    """One row: the versions that every process compares its snapshot with. Its lock also orders who changes what."""

    __tablename__ = "configuration"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    version: Mapped[int] = mapped_column(default=1)
    catalogue_version: Mapped[int] = mapped_column(default=1)
    aliases_version: Mapped[int] = mapped_column(default=1)
    changed_at: Mapped[datetime]


class Placement(Base):
    """A place in the shop that shows recommendations, with its default strategy and its fallback chain.

    `settings` may hold `seen` ("bought", "shown", "interacted" or "none": what is not shown again), `rerank` (as an
    arm's) and `explore` (the share of slots for new items).
    """

    __tablename__ = "placements"
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(200), default="")
    strategy: Mapped[str] = mapped_column(String(64))
    params: Mapped[dict[str, Any]] = mapped_column(default=dict)
    fallback: Mapped[list[Any]] = mapped_column(default=list)
    settings: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class ExperimentRow(Base):
    """An experiment as stored. A holdout is one of kind `holdout`; a global one has no placement.

    `data` keeps what only people, reports and schedules read: `note`, `planned_days`, `ramp`, `phases`, …
    `settled_at`: since then its raw facts may be gone, and its totals are final.
    """

    __tablename__ = "experiments"
    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str] = mapped_column(String(200), default="")
    hypothesis: Mapped[str] = mapped_column(default="")
    kind: Mapped[str] = mapped_column(String(16), default="ab")
    source: Mapped[str] = mapped_column(String(16), default="live")
    placement: Mapped[str | None] = mapped_column(ForeignKey("placements.key"))
    layer: Mapped[str | None] = mapped_column(String(64))
    slot_start: Mapped[float | None]
    slot_end: Mapped[float | None]
    traffic: Mapped[float] = mapped_column(default=1.0)
    audience: Mapped[dict[str, Any]] = mapped_column(default=dict)
    exclude: Mapped[dict[str, Any]] = mapped_column(default=dict)
    overrides: Mapped[dict[str, Any]] = mapped_column(default=dict)
    sticky: Mapped[bool] = mapped_column(default=False)
    metrics: Mapped[dict[str, Any]] = mapped_column(default=dict)
    data: Mapped[dict[str, Any]] = mapped_column(default=dict)
    status: Mapped[str] = mapped_column(String(16), default="draft")
    phase: Mapped[int] = mapped_column(default=1)
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    stopped_at: Mapped[datetime | None]
    settled_at: Mapped[datetime | None]
    arms: Mapped[list[ArmRow]] = relationship(
        back_populates="experiment", cascade="all, delete-orphan", order_by="ArmRow.position", lazy="selectin"
    )
    __table_args__ = (
        CheckConstraint("traffic >= 0 AND traffic <= 1", name="traffic_is_a_share"),
        CheckConstraint("status IN ('draft', 'running', 'paused', 'stopped', 'archived')", name="status_known"),
        Index(None, "status"),
        Index(None, "placement"),
    )


class ArmRow(Base):
    """One variation of an experiment."""

    __tablename__ = "arms"
    id: Mapped[int] = mapped_column(primary_key=True)
    experiment_id: Mapped[int] = mapped_column(ForeignKey("experiments.id", ondelete="CASCADE"))
    key: Mapped[str] = mapped_column(String(64))
    position: Mapped[int]
    strategy: Mapped[str] = mapped_column(String(64))
    params: Mapped[dict[str, Any]] = mapped_column(default=dict)
    weight: Mapped[float] = mapped_column(default=1.0)
    control: Mapped[bool] = mapped_column(default=False)
    model: Mapped[int | None]
    rerank: Mapped[dict[str, Any] | None]
    experiment: Mapped[ExperimentRow] = relationship(back_populates="arms")
    __table_args__ = (
        UniqueConstraint("experiment_id", "key"),
        CheckConstraint("weight > 0", name="weight_positive"),
    )


class SavedGroupRow(Base):
    """A named list of values of one attribute, or a named condition, for use in audiences."""

    __tablename__ = "saved_groups"
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(200), default="")
    definition: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class MetricRow(Base):
    """A metric's definition, as data."""

    __tablename__ = "metrics"
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    definition: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class Account(Base):
    """A person who signs in. The password is an argon2id hash."""

    __tablename__ = "accounts"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(254), unique=True)
    name: Mapped[str] = mapped_column(String(200), default="")
    password_hash: Mapped[str]
    role: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime]
    disabled_at: Mapped[datetime | None]
    __table_args__ = (CheckConstraint("role IN ('manager', 'viewer')", name="role_known"),)


class ApiKey(Base):
    """A key of the API. Only its SHA-256 is kept; the key has 256 random bits, so no slow hash is needed."""

    __tablename__ = "api_keys"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    prefix: Mapped[str] = mapped_column(String(16))
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    scopes: Mapped[list[Any]]
    created_at: Mapped[datetime]
    created_by: Mapped[str] = mapped_column(String(254), default="")
    revoked_at: Mapped[datetime | None]


class AuditEntry(Base):
    """Who changed what, when, from what to what."""

    __tablename__ = "audit"
    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    actor: Mapped[str] = mapped_column(String(254))
    action: Mapped[str] = mapped_column(String(64))
    kind: Mapped[str] = mapped_column(String(32))
    subject: Mapped[str] = mapped_column(String(254))
    before: Mapped[dict[str, Any] | None]
    after: Mapped[dict[str, Any] | None]
    __table_args__ = (Index(None, "kind", "subject"),)
