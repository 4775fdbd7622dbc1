"""What the shop tells of its items and users."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Float, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from reclift.storage.tables.base import Base


class ItemRow(Base):
    """One item of the catalogue."""

    __tablename__ = "items"
    item_id: Mapped[str] = mapped_column(String(200), primary_key=True)
    title: Mapped[str] = mapped_column(default="")
    description: Mapped[str] = mapped_column(default="")
    category: Mapped[str | None] = mapped_column(String(200))
    price: Mapped[float | None]
    image_url: Mapped[str | None]
    available: Mapped[bool] = mapped_column(default=True)
    attributes: Mapped[dict[str, Any]] = mapped_column(default=dict)
    updated_at: Mapped[datetime]
    __table_args__ = (Index(None, "category"), Index("ix_items_unavailable", "available"))


class NewItem(Base):
    """An item that few have met, for placements that explore: how often it was chosen or shown."""

    __tablename__ = "new_items"
    item_id: Mapped[str] = mapped_column(String(200), primary_key=True)
    met: Mapped[int]


class ItemNovelty(Base):
    """How surprising an item is: bits of self-information of being chosen, by the users of the last months."""

    __tablename__ = "item_novelty"
    item_id: Mapped[str] = mapped_column(String(200), primary_key=True)
    bits: Mapped[float] = mapped_column(Float)


class Profile(Base):
    """What the shop told of a user, by canonical id."""

    __tablename__ = "profiles"
    unit_id: Mapped[str] = mapped_column(String(200), primary_key=True)
    attributes: Mapped[dict[str, Any]] = mapped_column(default=dict)
    updated_at: Mapped[datetime]


class Alias(Base):
    """Another id of a person: `alias` resolves to the canonical `unit_id` before hashing.

    Numbers are never used again: processes look for those above the last they know.
    """

    __tablename__ = "aliases"
    id: Mapped[int] = mapped_column(primary_key=True)
    alias: Mapped[str] = mapped_column(String(200), unique=True)
    unit_id: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime]
    __table_args__ = (Index(None, "unit_id"), {"sqlite_autoincrement": True})
