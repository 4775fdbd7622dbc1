"""What happened: impressions, exposures, events; the units whose totals are to be recomputed; what cannot be kept.

Times are whole microseconds since 1970 (UTC) in a BIGINT: exact, portable, and arithmetic is plain in both databases.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import DDL, BigInteger, Float, Index, Integer, LargeBinary, PrimaryKeyConstraint, String, event, text
from sqlalchemy.orm import Mapped, mapped_column

from reclift.storage.tables.base import Base

# SQLite counts row ids only for INTEGER PRIMARY KEY.
_Counter = BigInteger().with_variant(Integer(), "sqlite")


class ImpressionRow(Base):
    """One shown list.

    `items` is a list of `{item_id, position, score, source, arm, propensity}`: nothing assumes that a list comes from
    one arm. `experiment`, `arm`, `phase` are those that decided, or null. `novelty` (bits) and `diversity` (0 to 1) are
    those of the moment, so that reports stay what they were; see domain/list_quality.py.
    """

    __tablename__ = "impressions"
    recommendation_id: Mapped[str] = mapped_column(String(200), primary_key=True)
    unit_id: Mapped[str] = mapped_column(String(200))
    at: Mapped[int] = mapped_column(BigInteger)
    received_at: Mapped[int] = mapped_column(BigInteger)
    placement: Mapped[str] = mapped_column(String(64))
    experiment: Mapped[str | None] = mapped_column(String(64))
    phase: Mapped[int | None]
    arm: Mapped[str | None] = mapped_column(String(64))
    strategy: Mapped[str] = mapped_column(String(64))
    model: Mapped[str | None] = mapped_column(String(100))
    fallback: Mapped[dict[str, Any] | None]
    latency_ms: Mapped[float | None] = mapped_column(Float)
    items: Mapped[list[Any]]
    novelty: Mapped[float | None] = mapped_column(Float)
    diversity: Mapped[float | None] = mapped_column(Float)
    __table_args__ = (Index(None, "unit_id", "at"), Index(None, "experiment", "phase", "at"))


class ExposureRow(Base):
    """A unit met an arm: the earliest time wins. A unit with more than one row in a phase met several arms."""

    __tablename__ = "exposures"
    experiment: Mapped[str] = mapped_column(String(64), primary_key=True)
    phase: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    unit_id: Mapped[str] = mapped_column(String(200), primary_key=True)
    arm: Mapped[str] = mapped_column(String(64), primary_key=True)
    at: Mapped[int] = mapped_column(BigInteger)
    source: Mapped[str] = mapped_column(String(16))
    attributes: Mapped[dict[str, Any]] = mapped_column(default=dict)
    __table_args__ = (Index(None, "unit_id"),)


BEHIND = "recommendation_id IS NOT NULL AND at < received_at - 43200000000"
"""Events that may belong to a list and whose client's clock was behind by more than half a day: few, and looked for."""


class EventRow(Base):
    """What a user did. `at` is the client's time, clamped; `client_at` what the client said.

    On PostgreSQL partitioned by months of `at` (see storage/partitions.py). A key there would have to contain `at`, so
    that each event counts once is kept by `event_ids`; on SQLite it is the primary key.
    """

    __tablename__ = "events"
    event_id: Mapped[str] = mapped_column(String(200))
    type: Mapped[str] = mapped_column(String(64))
    unit_id: Mapped[str] = mapped_column(String(200))
    item_id: Mapped[str | None] = mapped_column(String(200))
    recommendation_id: Mapped[str | None] = mapped_column(String(200))
    value: Mapped[float | None] = mapped_column(Float)
    at: Mapped[int] = mapped_column(BigInteger)
    client_at: Mapped[int | None] = mapped_column(BigInteger)
    received_at: Mapped[int] = mapped_column(BigInteger)
    properties: Mapped[dict[str, Any]] = mapped_column(default=dict)
    __table_args__ = (
        PrimaryKeyConstraint("event_id").ddl_if(dialect="sqlite"),
        Index(None, "unit_id", "at"),
        Index(None, "at"),
        Index("ix_events_behind", "unit_id", sqlite_where=text(BEHIND), postgresql_where=text(BEHIND)),
        {"postgresql_partition_by": "RANGE (at)"},
    )


event.listen(
    EventRow.__table__,
    "after_create",
    DDL("CREATE TABLE events_default PARTITION OF events DEFAULT").execute_if(  # type: ignore[no-untyped-call]
        dialect="postgresql"
    ),
)


class EventId(Base):
    """Ids of all events that are kept, and when they happened. PostgreSQL only: on SQLite it is empty.

    Written, and taken away, in the same statement or transaction as the event.
    """

    __tablename__ = "event_ids"
    event_id: Mapped[str] = mapped_column(String(200), primary_key=True)
    at: Mapped[int] = mapped_column(BigInteger)


class Erasure(Base):
    """A person was erased: what was recorded of them before `at` and turns up later is refused.

    `digest` is a hash of one of the person's ids (see storage/erasures.py): nothing here names anybody.
    """

    __tablename__ = "erasures"
    digest: Mapped[str] = mapped_column(String(32), primary_key=True)
    at: Mapped[int] = mapped_column(BigInteger, index=True)


class DirtyUnit(Base):
    """A unit with new facts, written in the same transaction as they were.

    Numbers are never used again (SQLite would, without AUTOINCREMENT): a worker that deletes the marks it has read must
    not hit newer ones.
    """

    __tablename__ = "dirty_units"
    id: Mapped[int] = mapped_column(_Counter, primary_key=True)
    unit_id: Mapped[str] = mapped_column(String(200))
    __table_args__ = (Index(None, "unit_id"), {"sqlite_autoincrement": True})


class DeadLetter(Base):
    """What was acknowledged and cannot be written, with the reason: nothing is dropped in silence.

    `payload` is what came, as it came (it may be no text at all); `unit_id` is whose it is, where that can be told.
    """

    __tablename__ = "dead_letters"
    id: Mapped[int] = mapped_column(_Counter, primary_key=True)
    at: Mapped[int] = mapped_column(BigInteger)
    source: Mapped[str] = mapped_column(String(32))
    reason: Mapped[str]
    unit_id: Mapped[str | None] = mapped_column(String(200))
    payload: Mapped[bytes] = mapped_column(LargeBinary)
    __table_args__ = (Index(None, "unit_id"), {"sqlite_autoincrement": True})
